"""Vectors of a table's parts or a release's shards, row group by row group, from a memory map where wanted.

Log-mel frames, or the rows of a 2D or 3D encoder: whatever a column `values` of lists of vectors holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets.attempts import keep_highest_attempt
from datasets.files import open_whole
from datasets.outcomes import Status
from datasets.parts import open_parquet
from datasets.releases.layout import check_groups
from datasets.schemas import TABLES
from datasets.wide import widen

_COLUMNS = ("clip_id", "values", "attempt", "status")


@dataclass(frozen=True)
class Frames:
    """The frames of many clips, in chunks of one row group."""

    clip_ids: pa.Array
    """[N] names, each once."""
    chunks: tuple[npt.NDArray[np.float32], ...]
    """Each [frames of a row group, D] in the type they are stored in; may lie in a memory map."""
    chunk: npt.NDArray[np.int64]
    """[N] index into `chunks`."""
    starts: npt.NDArray[np.int64]
    """[N] first row within the chunk."""
    num_frames: npt.NDArray[np.int64]
    """[N] rows of the clip."""


def read_frames(paths: list[str], clip_ids: pa.Array, cache_dir: str | Path | None = None) -> Frames:
    """The frames of some clips.

    Args:
        paths: Parquet files, local or fsspec URLs, with columns clip_id and values (list of [D] numbers), and
            perhaps attempt and status: the highest attempt of a clip wins, and counts only if it is ok.
        clip_ids: the clips wanted.
        cache_dir: local folder for an uncompressed Arrow copy of each file, read by memory map; without it the
            wanted clips are read into memory.

    Raises:
        ReleaseError: a row group that claims more than memory should hold.
        ValueError: values that are not lists of vectors.
    """
    index: list[pa.Table] = []
    chunks: list[npt.NDArray[np.float32]] = []
    for path in paths:
        for batch in _cached_batches(path, Path(cache_dir)) if cache_dir else _parquet_batches(path, clip_ids):
            lengths = pc.fill_null(pc.list_value_length(batch["values"]), 0).to_numpy(zero_copy_only=False)
            lengths = lengths.astype(np.int64)
            columns = {
                "clip_id": batch["clip_id"],
                "attempt": batch["attempt"],
                "is_ok": pc.equal(batch["status"], Status.OK.value),
                "chunk": np.full(batch.num_rows, len(chunks)),
                "start": np.cumsum(lengths) - lengths,
                "num_frames": lengths,
            }
            index.append(pa.table(columns))
            vectors = batch["values"].flatten()
            chunks.append(vectors.flatten().to_numpy(zero_copy_only=True).reshape(-1, vectors.type.list_size))
    if not index:
        nothing = np.zeros(0, np.int64)
        return Frames(pa.array([], pa.string()), (), nothing, nothing, nothing)
    found = pa.concat_tables(index)
    found = widen(found.filter(pc.is_in(found["clip_id"], clip_ids)))
    rows = keep_highest_attempt(TABLES["log_mel"], found).filter(pc.field("is_ok"))
    numbers = (rows[name].to_numpy() for name in ("chunk", "start", "num_frames"))
    return Frames(rows["clip_id"].combine_chunks(), tuple(chunks), *numbers)


def _parquet_batches(path: str, clip_ids: pa.Array | None = None) -> Iterator[pa.RecordBatch]:
    """One record batch a row group, of `_COLUMNS`."""
    with open_parquet(path) as file:
        parquet = pq.ParquetFile(file)
        check_groups(parquet)
        columns = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=columns)
            if clip_ids is not None:
                table = table.filter(pc.is_in(table["clip_id"], clip_ids))
            if table.num_rows:
                yield _complete(path, table)


def _complete(path: str, table: pa.Table) -> pa.RecordBatch:
    """As one record batch; shards of a release hold ok clips only and have neither attempt nor status."""
    n = table.num_rows
    if "attempt" not in table.column_names:
        table = table.append_column("attempt", pa.repeat(pa.scalar(0, pa.int32()), n))
    if "status" not in table.column_names:
        table = table.append_column("status", pa.repeat(Status.OK.value, n))
    values_type = table["values"].type
    if not pa.types.is_list(values_type) or not pa.types.is_fixed_size_list(values_type.value_type):
        raise ValueError(f"{path}: values must be lists of vectors of one size, got {values_type}")
    [batch] = table.select(_COLUMNS).combine_chunks().to_batches()
    return batch


def _cached_batches(path: str, cache_dir: Path) -> Iterator[pa.RecordBatch]:
    """The file's record batches from its memory-mapped copy, made if need be."""
    fs, local = fsspec.core.url_to_fs(path)
    # Parts never change; the size tells a part from one that was done again under its name.
    copy = cache_dir / f"{'-'.join(local.split('/')[-3:])}-{fs.size(local)}.arrow"
    if not copy.exists():
        with open_whole(copy) as file:
            writer = None
            for batch in _parquet_batches(path):
                writer = writer or pa.ipc.new_file(file, batch.schema)
                writer.write(batch)
            if writer is None:
                writer = pa.ipc.new_file(file, pa.schema([(name, pa.string()) for name in _COLUMNS]))
            writer.close()
    reader = pa.ipc.open_file(pa.memory_map(str(copy)))
    for i in range(reader.num_record_batches):
        yield reader.get_batch(i)
