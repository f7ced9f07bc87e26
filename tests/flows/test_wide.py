"""More text in memory than 32 bits count; little of it is really there: one buffer stands for every row."""

import mmap

import pyarrow as pa
import pyarrow.acero
import pytest

from datasets import wide as wide_tables
from datasets.counts import count_drawn
from datasets.resuming import next_attempts
from datasets.schemas import TABLES
from datasets.splits.certificate import check_assignment
from datasets.splits.draw import draw_splits
from datasets.splits.pool import DrawRequest
from datasets.tables import read_table
from datasets.wide import narrow, widen
from flows.config import Config
from flows.machinery.batches import cut_batches, left_to_do
from flows.machinery.run import Run, with_media
from flows.report.look_alikes import find_look_alikes
from flows.stages import download
from model.data import normalised
from tests.small_tables import make_root

ROW_BYTES = 64 << 20


def much_text(num_rows):
    """Rows of 64 MB each, every one a chunk over the same buffer of zeros."""
    buffers = [None, pa.array([0, ROW_BYTES], pa.int32()).buffers()[1], pa.py_buffer(mmap.mmap(-1, ROW_BYTES))]
    row = pa.Array.from_buffers(pa.string(), 1, buffers)
    return pa.chunked_array([row] * num_rows)


def are_wide(table):
    return not any(
        pa.types.is_string(of) or pa.types.is_binary(of) or pa.types.is_list(of) for of in table.schema.types
    )


@pytest.mark.parametrize("name", TABLES)
def test_a_table_made_wide_and_narrow_is_the_table(name):
    rows = {field.name: pa.nulls(3, field.type) for field in TABLES[name].schema}
    rows[TABLES[name].key[0]] = pa.array(["a", "b", "c"])
    table = pa.table(rows)
    assert are_wide(widen(table))
    assert narrow(widen(table)).equals(table)


def test_a_few_rows_far_into_a_wide_array_become_narrow():
    start = 3 << 30
    text = pa.py_buffer(mmap.mmap(-1, start + 8))
    offsets = pa.array([0, start, start + 3, start + 8], pa.int64())
    wide = pa.table({"title": pa.Array.from_buffers(pa.large_string(), 3, [None, offsets.buffers()[1], text])})
    batch = cut_batches(wide.slice(1), 2)[0]
    assert batch.schema.types == [pa.string()]
    assert batch["title"].to_pylist() == ["\0" * 3, "\0" * 5]


def test_long_rows_that_are_neighbours_become_narrow_in_chunks_of_their_own(monkeypatch):
    monkeypatch.setattr(wide_tables, "_PIECE_BYTES", 5000)
    texts = ["a" * 4000, "b" * 4000, "c" * 4000, *map(str, range(60))]
    found = narrow(widen(pa.table({"title": texts})))["title"]
    assert found.type == pa.string() and found.to_pylist() == texts
    assert max(chunk.nbytes for chunk in found.chunks) <= 5000


def test_what_is_left_to_do_is_counted_in_64_bits_and_its_batches_as_files_are(tmp_path):
    keys = pa.table({"video_id": ["a", "b"]})
    todo = left_to_do(keys, Run(Config(root=str(tmp_path)), "x"), "media", "r")
    assert are_wide(todo)
    assert all(batch.schema.field("video_id").type == pa.string() for batch in cut_batches(todo, 1))


@pytest.mark.slow  # 5 GB are written once
def test_titles_of_2_gib_are_ranked(monkeypatch, tmp_path):
    ranks = list(range(36, 0, -1))
    found = pa.table({"video_id": [f"v{rank:02d}" for rank in ranks], "rank": ranks, "title": much_text(36)})
    with pytest.raises(pa.ArrowInvalid, match="offset overflow"):
        found.sort_by("rank")
    monkeypatch.setattr(download, "read_table", lambda *_: found)
    ranked = download.rank_videos(Run(Config(root=str(tmp_path)), "x"))
    assert ranked["rank"].to_pylist() == sorted(ranks)


def test_what_is_joined_and_grouped_is_narrow_as_arrow_ends_the_process_over_2_gib_of_wide_keys(monkeypatch, tmp_path):
    join, group, given = pyarrow.acero._perform_join, pyarrow.acero._group_by, []

    def spy_join(kind, left, left_keys, right, right_keys, **others):
        given.extend([left, right])
        return join(kind, left, left_keys, right, right_keys, **others)

    def spy_group(table, aggregates, keys, **others):
        given.append(table)
        return group(table, aggregates, keys, **others)

    monkeypatch.setattr(pyarrow.acero, "_perform_join", spy_join)
    monkeypatch.setattr(pyarrow.acero, "_group_by", spy_group)
    root = make_root(tmp_path)
    clips, splits = (widen(read_table(root, name)) for name in ("clips", "splits"))
    groups = pa.table({"video_id": clips["video_id"], "channel": clips["video_id"]})
    request = DrawRequest({"train": 1, "val": 1}, 1, groups, splits, max_per_video=3)
    check_assignment(splits, clips, request)
    draw_splits(clips, {"train": 3, "val": 1}, 1, groups, splits.slice(0, 2))
    with_media(clips, Run(Config(root=root), "x"))
    next_attempts(clips["clip_id"], root, "clips", "r", ["no_speech"])
    count_drawn(root)
    find_look_alikes(root)
    assert len(given) > 20
    assert not any(field.type in (pa.large_string(), pa.large_binary()) for table in given for field in table.schema)


def test_clips_with_their_media_are_wide(tmp_path):
    config = Config(root=make_root(tmp_path))
    assert are_wide(with_media(read_table(config.root, "clips"), Run(config, "x")))


def test_vectors_of_a_release_are_sorted_wide_and_read_all_the_same():
    column = pa.chunked_array([pa.array([[3.0, 4.0], [0.0, 2.0]], pa.list_(pa.float32()))])
    rows = widen(pa.table({"clip_id": ["b", "a"], "pooled_2d": column})).sort_by("clip_id")
    assert normalised(rows["pooled_2d"], "pooled_2d").tolist() == [[0.0, 1.0], [pytest.approx(0.6), pytest.approx(0.8)]]
