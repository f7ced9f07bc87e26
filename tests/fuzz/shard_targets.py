"""Shards of a release whose sums agree and whose rows or metadata lie."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from datasets.releases.layout import ReleaseError, find_video, read_shards
from datasets.releases.verify import verify_release
from tests.fuzz.inputs import Content, mutated
from tests.fuzz.targets import Target, small_release, spoil_release


def not_utf8(num_rows: int) -> pa.Array:
    """Text that is none."""
    offsets = pa.py_buffer(np.arange(num_rows + 1, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), num_rows, [None, offsets, pa.py_buffer(b"\xff" * num_rows)])


COLUMNS = {
    "numbers": lambda n: pa.array(range(n)),
    "nothing": lambda n: pa.nulls(n),
    "empty text": lambda n: pa.nulls(n, pa.string()),
    "bytes": lambda n: pa.array([b"\xff"] * n),
    "no text": not_utf8,
    "words": lambda n: pa.array(["x"] * n).dictionary_encode(),
    "lists": lambda n: pa.array([["x"]] * n),
    "records": lambda n: pa.array([{"x": 1}] * n),
    "large text": lambda n: pa.array(["x"] * n, pa.large_string()),
    "one id": lambda n: pa.array(["video-00000"] * n),
}


@st.composite
def lying_shards(draw: Any) -> tuple[str, bytes]:
    """(path of a shard, its new content)."""
    path = draw(st.sampled_from(sorted(name for name in small_release() if name.endswith(".parquet"))))
    content = small_release()[path]
    if draw(st.integers(0, 2)) == 0:
        return path, draw(mutated(content))
    table = pq.read_table(pa.BufferReader(content))
    for _ in range(draw(st.integers(1, 2))):
        table = _change(draw, table)
    known = table.schema.metadata or {}
    metadata = {key: draw(mutated(value)) for key, value in known.items()} if draw(st.booleans()) else known
    written = io.BytesIO()
    groups = draw(st.sampled_from([1, 2, 10**6]))
    pq.write_table(table.replace_schema_metadata(metadata), written, row_group_size=groups)
    return path, Content(written.getvalue())


def _change(draw: Any, table: pa.Table) -> pa.Table:
    names = table.column_names
    place = draw(st.integers(0, len(names) - 1))
    kind = draw(st.sampled_from(["type", "type", "type", "drop", "rename", "double", "fewer", "more"]))
    if kind == "type":
        made = COLUMNS[draw(st.sampled_from(sorted(COLUMNS)))](table.num_rows)
        return table.set_column(place, names[place], made)
    if kind == "drop":
        return table.remove_column(place)
    if kind == "rename":
        return table.rename_columns([*names[:place], "other", *names[place + 1 :]])
    if kind == "double":
        return table.append_column(names[place], table.column(place))
    return table.slice(0, table.num_rows // 2) if kind == "fewer" else pa.concat_tables([table, table])


def read_lying_shard(given: tuple[str, bytes]) -> None:
    folder = spoil_release(*given, agrees=True)
    problems = verify_release(folder)
    assert all(isinstance(problem, str) for problem in problems)
    for read in (lambda: read_shards(folder), lambda: find_video(folder, "video-00000")):
        try:
            read()
        except ReleaseError as error:
            assert str(error)


SHARD_TARGETS: dict[str, Target] = {
    "shard": Target(
        st.deferred(lying_shards),
        read_lying_shard,
        (),
        ("datasets/releases/layout.py:check_groups,read_shards,read_shard,find_video",),
    )
}
