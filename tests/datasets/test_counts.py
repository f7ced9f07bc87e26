"""Counts of a table are those of reading it, whatever is kept beside it."""

import os
from pathlib import Path

import pytest

from datasets import counts
from datasets.compaction import compact_table
from datasets.counts import count_drawn, count_found, count_ok, count_rows
from datasets.files import read_json
from datasets.outcomes import OK, dropped, failed
from datasets.tables import make_table, write_part


def write(root, name, *rows, attempt=0):
    made = {"recipe": "r", "run_id": "x", "attempt": attempt}
    return write_part(root, name, make_table(name, rows, **made))


def media(video_id, outcome=OK, duration_ms=1000):
    return {"video_id": video_id, "duration_ms": duration_ms, "num_bytes": 7, **outcome}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A table of two videos, one of which failed, of which the counts are kept."""
    monkeypatch.setattr(counts, "WORTH_KEEPING", 1)
    write(tmp_path, "media", media("a"), media("b", failed("network")))
    assert count_ok(str(tmp_path), "media") == {"items": 1, "duration_ms": 1000, "num_bytes": 7}
    return str(tmp_path)


def test_a_large_table_is_not_read_again_while_its_parts_are_the_same(root, monkeypatch):
    monkeypatch.setattr(counts, "read_table", None)
    assert count_ok(root, "media")["items"] == 1


def test_a_part_that_came_is_counted(root):
    write(root, "media", media("c"))
    assert count_ok(root, "media")["items"] == 2


def test_a_later_attempt_takes_the_place_of_the_first(root):
    write(root, "media", media("b"), attempt=1)
    assert [row["items"] for row in count_rows(root, "media")] == [2]


def test_a_part_done_again_under_its_name_is_counted_again(root):
    os.utime(write(root, "media", media("a", duration_ms=5), media("b", failed("network"))), ns=(0, 0))
    assert count_ok(root, "media")["duration_ms"] == 5


def test_a_part_that_went_is_counted_no_more(root):
    next(Path(root).rglob("*.parquet")).unlink()
    assert count_rows(root, "media") == []


def test_a_compaction_changes_no_count(root):
    write(root, "media", media("c"))
    before = count_rows(root, "media")
    compact_table(root, "media")
    assert count_rows(root, "media") == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"listing": 1, "counts": 2}', "null", "\xff"])
def test_a_kept_file_that_is_not_ours_is_made_again(root, text):
    kept = Path(root) / "media" / "_counts.json"
    kept.write_text(text, "latin-1")
    assert count_ok(root, "media")["items"] == 1
    assert read_json(kept)["counts"]


def test_a_root_that_nobody_may_write_to_is_counted_each_time(root, monkeypatch):
    def refuse(*_):
        raise PermissionError

    (Path(root) / "media" / "_counts.json").unlink()
    monkeypatch.setattr(counts, "write_json", refuse)
    assert count_ok(root, "media")["items"] == 1


def test_nothing_is_kept_of_a_small_table(tmp_path):
    write(tmp_path, "media", media("a"))
    count_rows(str(tmp_path), "media")
    assert not list(tmp_path.rglob("_*.json"))


def test_a_video_that_two_queries_found_counts_once(tmp_path):
    found = [{"query": query, "video_id": video_id, **OK} for query in "qr" for video_id in "ab"]
    write(tmp_path, "discoveries", *found)
    assert count_found(str(tmp_path)) == 2


def test_clips_of_a_split_are_those_that_came_out_ok(tmp_path):
    times = {"video_id": "v", "start_ms": 0, "speech_ms": 1}
    clips = [{"clip_id": name, **times, "end_ms": 10, **OK} for name in "abc"]
    write(tmp_path, "clips", *clips[:2], {**clips[2], **dropped("clip_too_short")})
    write(tmp_path, "splits", *({"clip_id": name, "video_id": "v", "split": "val", **OK} for name in "bcd"))
    assert count_drawn(str(tmp_path)) == [{"split": "val", "items": 1, "ms": 10}]


def test_a_clip_that_a_later_attempt_made_ok_counts_once_in_its_split(tmp_path):
    clip = {"clip_id": "a", "video_id": "v", "start_ms": 0, "speech_ms": 1}
    write(tmp_path, "clips", {**clip, "end_ms": 3, **dropped("clip_too_short")})
    write(tmp_path, "clips", {**clip, "end_ms": 10, **OK}, attempt=1)
    write(tmp_path, "splits", {"clip_id": "a", "video_id": "v", "split": "val", **OK})
    assert count_drawn(str(tmp_path)) == [{"split": "val", "items": 1, "ms": 10}]


def test_counts_of_many_small_parts_are_kept_however_few_rows_they_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "WORTH_KEEPING", 3 * counts.ROWS_OF_A_PART)
    for name in "abc":
        write(tmp_path, "media", media(name))
    count_rows(str(tmp_path), "media")
    assert read_json(tmp_path / "media" / "_counts.json")["counts"]
