"""Pins: the assignment of an earlier draw, which a new one keeps; and the copy of it that lies beside the splits."""

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from datasets.files import join_path, write_bytes
from datasets.parts import parquet_bytes
from datasets.splits.pool import SplitError
from datasets.tables import keep_ok, list_parts, read_table
from datasets.wide import narrow, widen

PINS_FILE = "splits.pinned.parquet"
_COLUMNS = ["clip_id", "video_id", "split"]


def read_assignment(source: str | Path) -> pa.Table:
    """Which split each clip of an earlier draw is in: clip_id, video_id, split.

    Args:
        source: an earlier root, or a folder with the parts of one splits table (ROOT/splits/RECIPE); a URL may do.

    Raises:
        SplitError: there is no such table.
    """
    columns = [*_COLUMNS, "status"]
    if list_parts(source, "splits"):
        rows = read_table(source, "splits", columns)
    else:
        fs, local = fsspec.core.url_to_fs(str(source))
        paths = fs.ls(local, detail=False) if fs.isdir(local) else []
        parts = []
        for path in sorted(path for path in paths if path.endswith(".parquet")):
            with fs.open(path, "rb") as file:
                part = pq.ParquetFile(file)
                if {*part.schema_arrow.names} >= {*columns}:
                    parts.append(part.read(columns=columns).replace_schema_metadata(None))
        if not parts:
            raise SplitError(
                f"splits.pinned_from: no splits table in {str(source)!r}; name a root whose splits are drawn"
            )
        rows = pa.concat_tables(parts)
    return keep_ok(rows).select(_COLUMNS)


def write_pins(root: str | Path, pinned: pa.Table) -> None:
    """Copy the pins beside the tables of a root, so that its splits can be checked when the earlier root is gone."""
    rows = narrow(widen(pinned.select(_COLUMNS)).sort_by("clip_id"))
    write_bytes(join_path(root, PINS_FILE), parquet_bytes(rows.replace_schema_metadata(None)))


def read_pins(root: str | Path) -> pa.Table | None:
    """The copy of the pins that the splits of this root were drawn with; None if there is none."""
    fs, local = fsspec.core.url_to_fs(join_path(root, PINS_FILE))
    try:
        with fs.open(local, "rb") as file:
            return pq.ParquetFile(file).read()
    except FileNotFoundError:
        return None
