"""The rows of a stranger's Parquet file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

_MOST_VALUES_PER_BYTE = 8


def read_rows_of(path: str | Path, is_wanted: Callable[[str], bool] = lambda _: True) -> list[dict[str, Any]]:
    """The rows of a file into which they fit: a run of one value is a few bytes, and no list names one clip for ever.

    Raises:
        ValueError: more values than the file can mean, two columns of one name, or dates that Python cannot hold.
        pyarrow.ArrowException: no Parquet.
    """
    table, num_bytes = pq.ParquetFile(path), Path(path).stat().st_size
    names = table.schema_arrow.names
    if len(set(names)) < len(names):
        raise ValueError(f"has two columns of one name: {', '.join(names)[:200]}")
    groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
    num_values = [sum(group.column(i).num_values for group in groups) for i in range(table.metadata.num_columns)]
    if max(num_values, default=0) > _MOST_VALUES_PER_BYTE * num_bytes:
        raise ValueError(f"claims {max(num_values):,} values in {num_bytes:,} bytes: made to fill memory")
    try:
        rows: list[dict[str, Any]] = table.read(columns=list(filter(is_wanted, names))).to_pylist()
    except (LookupError, ArithmeticError) as error:  # of a time zone that is none, of the year 300,000
        raise ValueError(f"has a date or time that cannot be: {error}") from error
    return rows
