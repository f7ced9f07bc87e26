"""One Parquet file of a table: how it is written and read."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from datasets.files import is_local

# A random row costs the reading of its group: 10 ms of CPU at 2 MB, 42 ms at 8 MB (benchmarks/bench_tables.py).
ROW_GROUP_BYTES = 2 << 20
# pyarrow asks a file of Python for each column by itself, which costs a small part more than its bytes do.
_READ_WHOLE_BYTES = 1 << 20


def parquet_bytes(table: pa.Table) -> bytes:
    """One Parquet file in memory: no dictionaries, row groups of at most 2 MB so that a random row is cheap."""
    rows_per_group = max(1, min(table.num_rows, table.num_rows * ROW_GROUP_BYTES // max(1, table.nbytes)))
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, use_dictionary=False, compression="zstd") as writer:
        if table.num_rows:  # Hugging Face takes the rows of the first group for its batches, and fails on an empty one
            writer.write_table(table, row_group_size=rows_per_group)
    return buffer.getvalue()


def read_part(fs: Any, path: str, columns: list[str] | None = None) -> pa.Table:
    """Rows of one part, these columns or all, as they are, in a path of an fsspec file system."""
    with fs.open(path, "rb") as file:
        if file.size <= _READ_WHOLE_BYTES:
            source = pa.BufferReader(file.read())
        else:
            source = pa.OSFile(path) if is_local(fs) else file
        return pq.ParquetFile(source).read(columns=columns, use_threads=False).replace_schema_metadata(None)


@contextmanager
def open_parquet(path: str) -> Iterator[Any]:
    """A file for Arrow, of this machine or of a URL.

    Arrow reads ahead in threads of its own, which may let go of a file of Python when the interpreter is ending, and
    that aborts the process: its answer is complete, and its exit status 134. A file that Arrow opens needs no Python.
    """
    fs, local = fsspec.core.url_to_fs(path)
    if is_local(fs):
        Path(local).open("rb").close()  # what fails here names the file, as people are told; Arrow's error names none
    with pa.OSFile(local) if is_local(fs) else fs.open(local, "rb") as opened:
        yield opened
