"""Splits are exact, disjoint, stable, and say what is missing."""

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.ids import make_clip_id
from datasets.splits.draw import SplitError, SplitSettings, draw_splits, draw_to_fit, scale_sizes
from datasets.splits.pool import DrawRequest

PAPER_SHAPE = {"train": 100, "val": 30, "test": 30}


def make_clips(clips_per_video, prefix="v"):
    rows = [
        {"clip_id": make_clip_id(f"{prefix}{video}", start, start + 5000), "video_id": f"{prefix}{video}"}
        for video, num_clips in enumerate(clips_per_video)
        for start in range(0, num_clips * 5000, 5000)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([("clip_id", pa.string()), ("video_id", pa.string())]))


def counts(drawn):
    return dict.fromkeys(("train", "val", "test"), 0) | {
        row["values"]: row["counts"] for row in drawn["split"].value_counts().to_pylist()
    }


def splits_by(drawn, key="video_id"):
    found = {}
    for row in drawn.to_pylist():
        found.setdefault(row[key], set()).add(row["split"])
    return found


@pytest.fixture(scope="module")
def clips():
    rng = random.Random(0)
    return make_clips([rng.randint(1, 12) for _ in range(60)])


def test_sizes_are_exact(clips):
    assert counts(draw_splits(clips, PAPER_SHAPE, seed=1)) == PAPER_SHAPE


def test_no_video_is_in_two_splits(clips):
    assert all(len(splits) == 1 for splits in splits_by(draw_splits(clips, PAPER_SHAPE, seed=1)).values())


def test_clips_keep_their_video(clips):
    drawn = draw_splits(clips, PAPER_SHAPE, seed=1)
    assert set(zip(*drawn.select(["clip_id", "video_id"]).to_pydict().values(), strict=True)) <= set(
        zip(*clips.to_pydict().values(), strict=True)
    )


def test_the_default_sizes_are_the_papers():
    assert SplitSettings().sizes == {"train": 10_000, "val": 3_000, "test": 3_000}


def test_another_seed_draws_other_clips(clips):
    assert draw_splits(clips, PAPER_SHAPE, seed=1) != draw_splits(clips, PAPER_SHAPE, seed=2)


def test_row_order_chunks_and_string_type_do_not_matter(clips):
    rows = clips.to_pylist()
    random.Random(3).shuffle(rows)
    shuffled = pa.Table.from_pylist(rows, schema=clips.schema)
    chunked = pa.concat_tables([shuffled.slice(0, 7), shuffled.slice(7, 50), shuffled.slice(57)])
    large = chunked.cast(pa.schema([(name, pa.large_string()) for name in clips.column_names]))
    expected = draw_splits(clips, PAPER_SHAPE, seed=1).to_pylist()
    assert draw_splits(chunked, PAPER_SHAPE, seed=1).to_pylist() == expected
    assert draw_splits(large, PAPER_SHAPE, seed=1).to_pylist() == expected


def test_the_order_of_sizes_does_not_matter(clips):
    reversed_sizes = dict(reversed(PAPER_SHAPE.items()))
    assert draw_splits(clips, reversed_sizes, seed=1) == draw_splits(clips, PAPER_SHAPE, seed=1)


def test_a_pool_with_nothing_to_spare_is_used_up(clips):
    sizes = {"train": clips.num_rows - 60, "val": 30, "test": 30}
    assert draw_splits(clips, sizes, seed=1).num_rows == clips.num_rows


def test_rows_that_are_not_ok_are_never_drawn():
    clips = make_clips([4] * 10)
    clips = clips.append_column("status", pa.array(["ok", "dropped"] * 20))
    drawn = draw_splits(clips, {"train": 16, "val": 2, "test": 2}, seed=0)
    assert set(drawn["clip_id"].to_pylist()) == set(clips["clip_id"].to_pylist()[::2])


def test_a_split_of_size_zero_is_empty(clips):
    assert counts(draw_splits(clips, {"train": 10, "val": 0, "test": 5}, seed=0)) == {"train": 10, "val": 0, "test": 5}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(1, 20), min_size=12, max_size=80),
    st.integers(0, 2**31),
    st.floats(0.05, 0.8),
    st.sampled_from([(1, 1, 1), (10, 3, 3), (8, 1, 1)]),
)
def test_a_pool_with_a_quarter_to_spare_always_suffices(clips_per_video, seed, share, weights):
    clips = make_clips(clips_per_video)
    budget = int(share * clips.num_rows)
    sizes = {
        name: budget * weight // sum(weights) for name, weight in zip(("train", "val", "test"), weights, strict=True)
    }
    drawn = draw_splits(clips, sizes, seed)
    assert counts(drawn) == sizes
    assert all(len(splits) == 1 for splits in splits_by(drawn).values())
    assert len(set(drawn["clip_id"].to_pylist())) == drawn.num_rows


def test_draws_are_spread_over_the_pool():
    """300 of 3,000 clips come from most of the videos, not from the first 30."""
    drawn = draw_splits(make_clips([10] * 300), {"train": 200, "val": 50, "test": 50}, seed=0)
    assert len(drawn["video_id"].unique()) > 150


def test_a_short_pool_says_how_many_clips_are_missing():
    with pytest.raises(SplitError, match=r"20 clips asked for .*the pool has 12: 8 missing"):
        draw_splits(make_clips([3] * 4), {"train": 10, "val": 5, "test": 5}, seed=0)


def test_an_indivisible_video_is_named_as_the_constraint():
    with pytest.raises(SplitError, match=r"no video may be divided: 10 missing"):
        draw_splits(make_clips([50, 50]), {"train": 10, "val": 5, "test": 5}, seed=0)


def test_max_per_video_is_named_as_the_constraint():
    with pytest.raises(SplitError, match=r"max_per_video leaves 10 of 40: 5 missing"):
        draw_splits(make_clips([4] * 10), {"train": 10, "val": 5}, seed=0, max_per_video=1)


def test_an_indivisible_group_is_named_as_the_constraint():
    clips = make_clips([4] * 10)
    groups = pa.table({"video_id": [f"v{i}" for i in range(10)], "channel": ["one"] * 10})
    with pytest.raises(SplitError, match=r"no group may be divided: 10 missing of 40 clips in 1 groups"):
        draw_splits(clips, {"train": 10, "test": 5}, seed=0, groups=groups)


def test_messages_are_one_line():
    with pytest.raises(SplitError) as error:
        draw_splits(make_clips([1]), PAPER_SHAPE, seed=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("sizes", "limit", "message"),
    [({"train": -1}, None, "train must be 0 or more, got -1"), ({}, None, "no split"), ({"train": 1}, 0, "got 0")],
)
def test_bad_requests_are_refused(clips, sizes, limit, message):
    with pytest.raises(SplitError, match=message):
        draw_splits(clips, sizes, 0, max_per_video=limit)


def test_a_clip_there_twice_is_refused(clips):
    with pytest.raises(SplitError, match=r"'v0_000000000_000005000' is there twice"):
        draw_splits(pa.concat_tables([clips, clips.slice(0, 1)]), PAPER_SHAPE, 0)


def test_nulls_and_absent_columns_are_refused(clips):
    with pytest.raises(SplitError, match=r"clips must have a column video_id"):
        draw_splits(clips.select(["clip_id"]), PAPER_SHAPE, 0)
    holed = clips.set_column(1, "video_id", pa.nulls(clips.num_rows, pa.string()))
    with pytest.raises(SplitError, match=r"clips.video_id must not be null"):
        draw_splits(holed, PAPER_SHAPE, 0)


def test_an_empty_pool_gives_empty_splits_or_an_error():
    empty = make_clips([])
    assert draw_splits(empty, {"train": 0}, 0).num_rows == 0
    with pytest.raises(SplitError, match="the pool has 0: 1 missing"):
        draw_splits(empty, {"train": 1}, 0)


def test_max_per_video_holds(clips):
    drawn = draw_splits(clips, {"train": 60, "val": 10, "test": 10}, seed=0, max_per_video=2)
    assert max(row["counts"] for row in drawn["video_id"].value_counts().to_pylist()) == 2


def test_no_group_of_any_column_is_in_two_splits(clips):
    rng = random.Random(1)
    videos = [f"v{video}" for video in range(60)]
    channel = pa.array([f"c{rng.randint(0, 25)}" if video % 5 else None for video in range(60)])
    copies = pa.array(["same" if video in (3, 40, 59) else None for video in range(60)])
    groups = pa.table({"video_id": videos, "channel": channel, "copy": copies})
    drawn = draw_splits(clips, PAPER_SHAPE, seed=0, groups=groups)
    joined = drawn.join(groups, "video_id")
    for column in ("channel", "copy"):
        by_group = splits_by(joined.filter(joined[column].is_valid()), column)
        assert all(len(splits) == 1 for splits in by_group.values())


def test_chains_of_groups_stay_together():
    """a-b share a channel, b-c are copies, through a video that is not in the pool."""
    clips = make_clips([5, 5, 5, 5])
    groups = pa.table({"video_id": ["v0", "gone", "gone", "v1"], "group": ["channel", "channel", "copies", "copies"]})
    for seed in range(10):
        drawn = draw_splits(clips, {"train": 6, "test": 4}, seed, groups=groups)
        by_video = splits_by(drawn)
        assert len(by_video.get("v0", set()) | by_video.get("v1", set())) <= 1


def test_pinned_without_new_videos_gives_the_same_again(clips):
    first = draw_splits(clips, PAPER_SHAPE, seed=1)
    assert draw_splits(clips, PAPER_SHAPE, seed=99, pinned=first).sort_by("clip_id") == first.sort_by("clip_id")


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1000), st.lists(st.integers(1, 9), max_size=40), st.integers(0, 40))
def test_adding_videos_never_moves_one(seed, new_videos, growth):
    old = make_clips([4] * 60)
    first = draw_splits(old, PAPER_SHAPE, seed)
    grown = pa.concat_tables([make_clips(new_videos, prefix="n"), old])
    sizes = {**PAPER_SHAPE, "train": PAPER_SHAPE["train"] + growth}
    drawn = draw_splits(grown, sizes, seed + 1, pinned=first)
    assert counts(drawn) == sizes
    assert {row["clip_id"]: row["split"] for row in first.to_pylist()}.items() <= {
        row["clip_id"]: row["split"] for row in drawn.to_pylist()
    }.items()
    assert all(len(splits) == 1 for splits in splits_by(drawn).values())


def test_a_pinned_clip_that_is_gone_is_replaced(clips):
    first = draw_splits(clips, PAPER_SHAPE, seed=1)
    gone = first["clip_id"][0].as_py()
    left = clips.filter(pc.not_equal(clips["clip_id"], gone))
    drawn = draw_splits(left, PAPER_SHAPE, seed=1, pinned=first)
    assert counts(drawn) == PAPER_SHAPE
    assert len(set(first["clip_id"].to_pylist()) - set(drawn["clip_id"].to_pylist())) == 1


def test_a_new_video_that_ties_two_splits_together_is_left_out():
    old = make_clips([5] * 8)
    first = draw_splits(old, {"train": 10, "test": 10}, seed=0)
    train, test = (
        next(video for video, splits in splits_by(first).items() if splits == {split}) for split in ("train", "test")
    )
    groups = pa.table({"video_id": [train, "n0", "n0", test], "copy": ["one", "one", "two", "two"]})
    grown = pa.concat_tables([old, make_clips([20], prefix="n")])
    drawn = draw_splits(grown, {"train": 12, "test": 10}, seed=0, groups=groups, pinned=first)
    assert "n0" not in drawn["video_id"].to_pylist()


def test_pins_that_divide_a_group_are_refused():
    clips = make_clips([5] * 4)
    first = draw_splits(clips, {"train": 10, "test": 10}, seed=0)
    groups = pa.table({"video_id": [f"v{i}" for i in range(4)], "channel": ["all"] * 4})
    with pytest.raises(SplitError, match=r"pinned has group 'all' in test and train"):
        draw_splits(clips, {"train": 10, "test": 10}, seed=0, groups=groups, pinned=first)


@pytest.mark.parametrize(
    ("split", "sizes", "message"),
    [
        (["train", "test"], {"train": 1, "test": 1}, "two splits"),
        (["dev", "dev"], {"train": 1}, "dev"),
        (["train", "train"], {"train": 1, "test": 1}, "pinned holds 2 clips of train, asked for 1"),
    ],
)
def test_bad_pins_are_refused(split, sizes, message):
    clips = make_clips([2, 2])
    with pytest.raises(SplitError, match=message):
        draw_splits(clips, sizes, 0, pinned=clips.slice(0, 2).append_column("split", pa.array(split)))


def test_pins_count_in_the_error():
    clips = make_clips([10, 2])
    pinned = clips.slice(0, 1).append_column("split", pa.array(["test"]))
    with pytest.raises(SplitError, match=r"pinned videos may not change their split: 2 missing"):
        draw_splits(clips, {"train": 4, "test": 1}, 0, pinned=pinned)


def test_pins_above_the_limit_are_refused():
    clips = make_clips([3, 3])
    pinned = clips.slice(0, 3).append_column("split", pa.array(["train"] * 3))
    with pytest.raises(SplitError, match="max_per_video=2"):
        draw_splits(clips, {"train": 3, "test": 1}, 0, pinned=pinned, max_per_video=2)


def test_scaled_sizes_keep_the_proportion():
    assert scale_sizes({"train": 10_000, "val": 3_000, "test": 3_000}, 1_600) == {
        "train": 1_000,
        "val": 300,
        "test": 300,
    }


def test_sizes_that_fit_are_not_scaled():
    assert scale_sizes({"train": 10, "test": 3}, 1000) == {"train": 10, "test": 3}


def test_a_small_pool_gives_a_proportionally_smaller_set(clips):
    drawn = draw_to_fit(clips, DrawRequest({"train": 10_000, "val": 3_000, "test": 3_000}, 0))
    found = counts(drawn)
    assert found["val"] == found["test"]
    assert abs(found["train"] / found["val"] - 10 / 3) < 0.1
    assert drawn.num_rows > 0.9 * clips.num_rows


def test_scaling_never_drops_a_pinned_clip():
    """The pool lost clips of train, so that the proportional val would be smaller than what val already holds."""
    clips = make_clips([1] * 160)
    first = draw_to_fit(clips, DrawRequest({"train": 10_000, "val": 3_000, "test": 3_000}, 0))
    is_train = pc.equal(first["split"], "train")
    gone = first.filter(is_train)["clip_id"].slice(0, 20).combine_chunks()
    left = clips.filter(pc.invert(pc.is_in(clips["clip_id"], gone)))
    drawn = draw_to_fit(left, DrawRequest({"train": 10_000, "val": 3_000, "test": 3_000}, 0, pinned=first))
    assert counts(drawn) == {"train": 80, "val": 30, "test": 30}


def test_a_pool_too_small_for_one_clip_each_is_an_error():
    with pytest.raises(SplitError, match="no video may be divided"):
        draw_to_fit(make_clips([90]), DrawRequest({"train": 10_000, "val": 3_000, "test": 3_000}, 0))


def test_the_assignment_is_the_same_on_any_machine():
    """Golden: written once; a change here breaks every earlier release's seed."""
    drawn = draw_splits(make_clips([2] * 6), {"train": 3, "val": 1, "test": 2}, seed=7)
    assert [f"{row['clip_id']} {row['split']}" for row in drawn.to_pylist()] == [
        "v1_000005000_000010000 train",
        "v0_000005000_000010000 train",
        "v5_000000000_000005000 train",
        "v2_000000000_000005000 test",
        "v3_000000000_000005000 val",
        "v4_000005000_000010000 test",
    ]
