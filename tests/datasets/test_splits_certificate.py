"""The certificate of splits says what holds, and its check finds whatever was changed afterwards."""

import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from datasets.certificates import (
    CERTIFICATE_FILE,
    read_groups,
    rows_digest,
    split_certificate,
    verify_certificate,
    write_certificate,
)
from datasets.schemas import OK, dropped
from datasets.splits import SplitError, draw_splits
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
    certificate = split_certificate(splits, clips, SIZES, 5, groups, max_per_video=3, group_by=["channel"])
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
    assert split_certificate(splits, clips, sizes, 9, pinned=pinned)["passed"]
    redrawn = draw_splits(clips, sizes, 9)
    checks = split_certificate(redrawn, clips, sizes, 9, pinned=pinned)["checks"]
    assert not checks["pinned clips keep their split"]["passed"]


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
