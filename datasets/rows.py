"""One row of a table by its key, in milliseconds: an index of where every row lies, then one row group is read."""

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from datasets.schemas import TABLES
from datasets.tables import current_recipe, list_parts


class RowReader:
    """Rows of a working table by key; made once, then each row costs the reading of its row group (2 MB at most)."""

    def __init__(self, root: str | Path, name: str, recipe: str | None = None) -> None:
        """Read the keys of every part; the highest attempt of a key wins.

        Args:
            root: folder or fsspec URL of the dataset root.
            name: a table whose key is one column.
            recipe: only rows of this recipe; the current one when not given.
        """
        if len(TABLES[name].key) != 1:
            raise ValueError(f"table {name} has a key of several columns {TABLES[name].key}: use read_table")
        fs = fsspec.core.url_to_fs(str(root))[0]
        recipe = recipe or current_recipe(root, name)
        self.name = name
        self._files = [pq.ParquetFile(fs.open(path, "rb")) for path in list_parts(root, name, recipe)]
        self._places: dict[str, tuple[int, int, int, int]] = {}
        for number, file in enumerate(self._files):
            self._add(number, file)

    def _add(self, number: int, file: pq.ParquetFile) -> None:
        for group in range(file.num_row_groups):
            keys = file.read_row_group(group, columns=[TABLES[self.name].key[0], "attempt"])
            for row, (key, attempt) in enumerate(zip(*(column.to_pylist() for column in keys.columns), strict=True)):
                if key not in self._places or attempt >= self._places[key][0]:
                    self._places[key] = attempt, number, group, row

    def __len__(self) -> int:
        return len(self._places)

    def read(self, key: str, columns: list[str] | None = None) -> pa.Table:
        """The row of `key`, as a table of one row.

        Raises:
            KeyError: the table has no such row.
        """
        if key not in self._places:
            raise KeyError(f"table {self.name} has no row {key!r}")
        _, number, group, row = self._places[key]
        return self._files[number].read_row_group(group, columns=columns).slice(row, 1)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close(force=True)

    def __enter__(self) -> "RowReader":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()
