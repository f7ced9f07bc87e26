"""What is left to do of a table: the one mechanism of resuming."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.schemas import TABLES
from datasets.tables import read_table
from datasets.wide import widen


def subtract(
    keys: pa.Table, root: str | Path, name: str, recipe: str, again: Iterable[str] = ()
) -> tuple[pa.Table, pa.Table]:
    """What of `keys` the table `name` lacks under `recipe`.

    Args:
        keys: a table whose columns include the join key of `name` (one column, its first key).
        root: the dataset root.
        name: the table to subtract.
        recipe: rows of other recipes do not count.
        again: reasons whose rows are to be done again.

    Returns:
        (rows never done, rows to be done again with the column `attempt` of the next attempt); both wide, in memory.
    """
    keys = widen(keys)
    attempts = next_attempts(keys[TABLES[name].key[0]], root, name, recipe, again)
    is_again = attempts > 0
    again_keys = keys.filter(pa.array(is_again)).append_column("attempt", pa.array(attempts[is_again]))
    return keys.filter(pa.array(attempts == 0)), again_keys


def next_attempts(
    keys: pa.ChunkedArray, root: str | Path, name: str, recipe: str, again: Iterable[str] = ()
) -> npt.NDArray[np.int32]:
    """Which attempt comes next for each key, wide: 0 if it was never done, -1 if it is done. Else as `subtract`."""
    key = TABLES[name].key[0]
    done = read_table(root, name, [key, "reason", "attempt"], recipe=recipe)
    is_again = pc.fill_null(pc.is_in(done["reason"], pa.array(list(again), pa.string())), False)
    retry = widen(done.filter(is_again).group_by(key).aggregate([("attempt", "max")]))
    is_done = pc.is_in(keys, widen(done.select([key]))[key]).to_numpy()
    last = pc.fill_null(retry["attempt_max"].take(pc.index_in(keys, retry[key])), -1).to_numpy()
    return np.where(is_done & (last < 0), -1, last + 1).astype(np.int32)
