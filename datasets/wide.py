"""Tables in memory that hold more than 2 GiB of text.

pyarrow counts what an array of strings, bytes or lists holds in 32 bits, so chunks of more than 2 GiB cannot be put
together, which `take`, `sort_by` and `combine_chunks` do: 69 million clip ids, 3 million titles, the pooled features of
a million clips. `is_in` and `unique` cannot hold as much, either. Whoever orders the rows of a whole root, or looks
them up, widens them first. Files on disk, and the batches that stages are handed, stay narrow.

`join` and `group_by` are the other way round: for narrow text Arrow has ways that count in 64 bits, for wide text only
one whose own offsets have 32, and past 2 GiB of keys that ends the process.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

_PIECE_BYTES = 1 << 30


def widen(table: pa.Table) -> pa.Table:
    """The same rows, counted in 64 bits; only offsets are copied."""
    return table.cast(pa.schema([field.with_type(_wide(field.type)) for field in table.schema]))


def narrow(table: pa.Table) -> pa.Table:
    """The same rows in the types that files have, in as many chunks as that takes."""
    schema = pa.schema([field.with_type(_narrow(field.type)) for field in table.schema])
    if schema.types == table.schema.types:
        return table
    # Taken, a slice begins at 0 again: a cast keeps its offsets, and they may be past 32 bits.
    return pa.concat_tables(piece.take(np.arange(piece.num_rows)).cast(schema) for piece in _cut(table))


def _cut(table: pa.Table) -> Iterator[pa.Table]:
    """The rows in order, in pieces that are small enough, or one row: long ones may be neighbours."""
    if table.num_rows < 2 or table.nbytes <= _PIECE_BYTES:
        yield table
        return
    middle = table.num_rows // 2
    yield from _cut(table.slice(0, middle))
    yield from _cut(table.slice(middle))


def _wide(of: pa.DataType) -> pa.DataType:
    if pa.types.is_list(of):
        return pa.large_list(of.value_field)
    return pa.large_string() if pa.types.is_string(of) else pa.large_binary() if pa.types.is_binary(of) else of


def _narrow(of: pa.DataType) -> pa.DataType:
    if pa.types.is_large_list(of):
        return pa.list_(of.value_field)
    return pa.string() if pa.types.is_large_string(of) else pa.binary() if pa.types.is_large_binary(of) else of
