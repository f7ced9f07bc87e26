"""Splits are exact, disjoint, stable, and say what is missing."""

import random

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.ids import make_clip_id
from datasets.splits import SplitSettings, draw_splits

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


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
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
