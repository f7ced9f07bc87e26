"""More text in memory than 32 bits count; little of it is really there: one buffer stands for every row."""

import mmap

import pyarrow as pa
import pytest

from datasets.schemas import TABLES
from datasets.wide import narrow, widen
from flows.config import Config
from flows.machinery.batches import cut_batches, left_to_do
from flows.machinery.run import Run
from flows.stages import download

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
