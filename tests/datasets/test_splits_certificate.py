"""The certificate of splits says what holds, and its check finds whatever was changed afterwards."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from datasets.outcomes import OK, dropped
from datasets.splits.certificate import (
    CERTIFICATE_FILE,
    read_groups,
    rows_digest,
    split_certificate,
    verify_certificate,
    write_certificate,
)
from datasets.splits.draw import SplitError, draw_splits
from datasets.splits.duplicates import DuplicateSettings
from datasets.splits.pins import PINS_FILE, read_assignment, read_pins, write_pins
from datasets.splits.pool import DrawRequest
from datasets.tables import list_parts, make_table, read_table, write_part

SIZES = {"train": 20, "val": 6, "test": 6}


def clip_row(video, start, outcome=OK):
    clip_id = f"v{video:02d}_{start:09d}_{start + 5000:09d}"
    times = {"start_ms": start, "end_ms": start + 5000, "speech_ms": 4000}
    return {"clip_id": clip_id, "video_id": f"v{video:02d}", **times, **outcome}


def write_splits(root, rows):
    for path in list_parts(root, "splits"):
        (root / path).unlink()
    table = make_table("splits", [{**row, **OK} for row in rows], recipe="r", run_id="run")
    write_part(root, "splits", table)


@pytest.fixture
def root(tmp_path):
    """20 videos of 4 clips, one of them dropped; 10 channels; splits by channel with their certificate."""
    rows = [
        clip_row(video, start * 10_000, OK if start else dropped("clip_too_long"))
        for video in range(20)
        for start in range(4)
    ]
    write_part(tmp_path, "clips", make_table("clips", rows, recipe="r", run_id="run"))
    videos = [{"video_id": f"v{video:02d}", "channel_id": f"c{video // 2}", **OK} for video in range(20)]
    write_part(tmp_path, "videos", make_table("videos", videos, recipe="r", run_id="run"))
    clips, groups = read_table(tmp_path, "clips"), read_groups(tmp_path, ["channel"])
    splits = draw_splits(clips, SIZES, 5, groups=groups, max_per_video=3)
    write_splits(tmp_path, splits.to_pylist())
    certificate = split_certificate(splits, clips, DrawRequest(SIZES, 5, groups, max_per_video=3), group_by=["channel"])
    write_certificate(tmp_path, certificate)
    return tmp_path


def read_certificate(root):
    return json.loads((root / CERTIFICATE_FILE).read_text())


def test_a_good_draw_passes_every_check(root):
    certificate = read_certificate(root)
    assert certificate["passed"]
    assert {name: count["clips"] for name, count in certificate["counts"].items()} == SIZES
    assert set(certificate["checks"]) == {
        "clips of each split as asked",
        "no clip twice",
        "every clip is in the pool",
        "no video in two splits",
        "no channel in two splits",
        "at most 3 clips of a video",
        "drawn again with the same seed",
    }


def test_the_tables_alone_verify_it(root):
    assert verify_certificate(root) == []


def test_a_missing_certificate_is_said(tmp_path):
    assert verify_certificate(tmp_path) == [f"{CERTIFICATE_FILE} is missing in {tmp_path}"]


def change(rows, index, **values):
    return [{**row, **values} if place == index else row for place, row in enumerate(rows)]


def moved(rows):
    """The first video's first clip in another split; the video has clips that stay."""
    video = next(row["video_id"] for row in rows if sum(other["video_id"] == row["video_id"] for other in rows) > 1)
    place = next(place for place, row in enumerate(rows) if row["video_id"] == video)
    return change(rows, place, split="val" if rows[place]["split"] != "val" else "test")


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (moved, "no video in two splits: 1 videos in two splits, the first v"),
        (lambda rows: rows[1:], "clips of each split as asked"),
        (lambda rows: change(rows, 0, clip_id="v00_000000000_000005000"), "every clip is in the pool: 1 clips"),
        (lambda rows: change(rows, 0, split="dev"), "clips of each split as asked"),
        (moved, "drawn again with the same seed: another assignment"),
    ],
)
def test_a_changed_splits_table_is_found(root, tamper, message):
    rows = read_table(root, "splits", ["clip_id", "video_id", "split"]).to_pylist()
    write_splits(root, tamper(rows))
    assert any(message in problem for problem in verify_certificate(root))


def test_a_video_that_changed_its_channel_is_found(root):
    splits = read_table(root, "splits").filter(pc.is_in(read_table(root, "splits")["split"], pa.array(["val", "test"])))
    videos = {row["split"]: row["video_id"] for row in splits.to_pylist()}
    rows = [{"video_id": video, "channel_id": "one", **OK} for video in videos.values()]
    write_part(root, "videos", make_table("videos", rows, recipe="r", run_id="run", attempt=1))
    assert any("no channel in two splits: 1 channels" in problem for problem in verify_certificate(root))


def test_a_changed_certificate_is_found(root):
    certificate = read_certificate(root)
    certificate["counts"]["test"]["videos"] += 1
    write_certificate(root, certificate)
    assert verify_certificate(root) == [f"{CERTIFICATE_FILE}: counts differs from what the tables say"]


def test_clips_added_later_are_found(root):
    write_part(root, "clips", make_table("clips", [clip_row(50, 0)], recipe="r", run_id="later"))
    assert any("digests differs" in problem for problem in verify_certificate(root))


def test_a_pinned_release_is_checked_too(root):
    clips = read_table(root, "clips")
    pinned = read_table(root, "splits", ["clip_id", "video_id", "split"])
    sizes = {**SIZES, "train": 25}
    splits = draw_splits(clips, sizes, 9, pinned=pinned)
    assert split_certificate(splits, clips, DrawRequest(sizes, 9, pinned=pinned))["passed"]
    redrawn = draw_splits(clips, sizes, 9)
    checks = split_certificate(redrawn, clips, DrawRequest(sizes, 9, pinned=pinned))["checks"]
    assert not checks["pinned clips keep their split"]["passed"]


@pytest.fixture
def pinned_root(root):
    """The root drawn again, larger, with its first draw as pins."""
    clips, pinned = read_table(root, "clips"), read_assignment(root)
    sizes = {**SIZES, "train": 25}
    splits = draw_splits(clips, sizes, 9, pinned=pinned)
    write_splits(root, splits.to_pylist())
    write_pins(root, pinned)
    write_certificate(root, split_certificate(splits, clips, DrawRequest(sizes, 9, pinned=pinned)))
    return root


def test_pins_are_verified_from_their_copy(pinned_root):
    assert read_certificate(pinned_root)["checks"]["pinned clips keep their split"]["passed"]
    assert read_certificate(pinned_root)["pool"]["pinned_clips"] == sum(SIZES.values())
    assert verify_certificate(pinned_root) == []


def test_changed_pins_are_found(pinned_root):
    write_pins(pinned_root, read_pins(pinned_root).slice(1))
    assert any("digests differs" in problem for problem in verify_certificate(pinned_root))


def test_absent_pins_are_said(pinned_root):
    (pinned_root / PINS_FILE).unlink()
    assert verify_certificate(pinned_root) == [
        f"{PINS_FILE} is missing in {pinned_root}, and {CERTIFICATE_FILE} needs it"
    ]


def test_an_assignment_is_read_from_a_root_or_from_a_folder_of_parts(root):
    from_root = read_assignment(root)
    assert from_root.num_rows == sum(SIZES.values())
    assert read_assignment(root / "splits" / "r") == from_root


def test_a_place_without_splits_is_refused_in_one_line(root, tmp_path):
    for place in (root / "clips" / "r", tmp_path / "nowhere"):
        with pytest.raises(SplitError, match=r"splits\.pinned_from: no splits table in '.*'; name a root"):
            read_assignment(place)


def write_fingerprints(root, copies):
    """Random sounds of two minutes; videos of one tuple share theirs."""
    rng = np.random.default_rng(0)
    sounds = {f"v{video:02d}": rng.integers(0, 1 << 32, 900, dtype=np.uint32) for video in range(20)}
    for first, *others in copies:
        sounds |= dict.fromkeys(others, sounds[first])
    rows = [
        {"video_id": video, "duration_ms": 120_000, "fingerprint": sound.tobytes(), **OK}
        for video, sound in sounds.items()
    ]
    write_part(root, "segmentations", make_table("segmentations", rows, recipe="r", run_id="run"))


def test_no_copy_is_in_two_splits_and_the_tables_prove_it(root):
    write_fingerprints(root, [("v00", "v07", "v13"), ("v02", "v03")])
    clips, settings = read_table(root, "clips"), DuplicateSettings()
    groups = read_groups(root, ["channel", "duplicate"], settings)
    splits = draw_splits(clips, SIZES, 3, groups=groups)
    write_splits(root, splits.to_pylist())
    certificate = split_certificate(
        splits, clips, DrawRequest(SIZES, 3, groups), group_by=["channel", "duplicate"], duplicates=settings
    )
    write_certificate(root, certificate)
    assert certificate["checks"]["no duplicate in two splits"]["passed"]
    assert certificate["pool"]["groups"]["duplicate"]["videos"] == 5
    assert verify_certificate(root) == []


def test_a_copy_in_another_split_is_found(root):
    splits = read_table(root, "splits", ["video_id", "split"]).to_pylist()
    videos = {row["split"]: row["video_id"] for row in splits}
    write_fingerprints(root, [(videos["train"], videos["test"])])
    certificate = read_certificate(root) | {"group_by": ["duplicate"], "duplicates": {}}
    write_certificate(root, certificate)
    assert any("no duplicate in two splits: 1 duplicates in" in problem for problem in verify_certificate(root))


def test_a_new_copy_of_two_pinned_videos_is_left_out(root):
    """Longer than the one and shorter than the other by the most that is allowed: alike to both, not they."""
    pinned = read_assignment(root)
    videos = {row["split"]: row["video_id"] for row in pinned.to_pylist()}
    rng = np.random.default_rng(0)
    sound = rng.integers(0, 1 << 32, 900, dtype=np.uint32).tobytes()
    lengths = {videos["train"]: 100_000, "v50": 115_000, videos["test"]: 130_000}
    rows = [{"video_id": v, "duration_ms": ms, "fingerprint": sound, **OK} for v, ms in lengths.items()]
    write_part(root, "segmentations", make_table("segmentations", rows, recipe="r", run_id="run"))
    write_part(root, "clips", make_table("clips", [clip_row(50, 0)], recipe="r", run_id="later"))
    groups = read_groups(root, ["duplicate"])
    splits = draw_splits(read_table(root, "clips"), SIZES, 5, groups=groups, pinned=pinned)
    assert rows_digest(splits) == rows_digest(pinned)


def test_an_empty_root_does_not_fit_a_certificate(root):
    for path in (root / "splits").rglob("*.parquet"):
        path.unlink()
    assert any("clips of each split as asked" in problem for problem in verify_certificate(root))


def test_an_unknown_grouping_is_refused(root):
    with pytest.raises(SplitError, match="got 'colour'"):
        read_groups(root, ["colour"])


def test_a_digest_of_rows_ignores_their_order_and_sees_each_cell():
    table = pa.table({"clip_id": ["a", "b", "c"], "video_id": ["x", "x", "y"]})
    shuffled = table.take(pa.array([2, 0, 1]))
    swapped = pa.table({"clip_id": ["a", "b", "c"], "video_id": ["x", "y", "x"]})
    assert rows_digest(table) == rows_digest(shuffled)
    assert len({rows_digest(table), rows_digest(swapped), rows_digest(table.slice(0, 2))}) == 3
