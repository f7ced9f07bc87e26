"""Arrow arrays as bytes to hash: the same for the same values, however they are chunked, sliced or encoded."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def array_bytes(array: pa.Array) -> Iterator[Any]:
    """Canonical bytes of an array's logical values."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    yield str(array.type).encode()
    yield np.asarray(array.is_null()).tobytes()
    if pa.types.is_null(array.type):
        return
    present = array.drop_null()
    if pa.types.is_list(array.type):
        yield pc.list_value_length(present).to_numpy(zero_copy_only=False).tobytes()
        yield from array_bytes(present.flatten())
    elif pa.types.is_fixed_size_list(array.type):
        yield from array_bytes(present.flatten())
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        yield pc.binary_length(present).to_numpy(zero_copy_only=False).tobytes()
        whole = pa.ListArray.from_arrays(pa.array([0, len(present)], pa.int32()), present)
        yield pc.binary_join(whole, pa.scalar("", array.type))[0].as_buffer()
    else:
        yield np.ascontiguousarray(present.to_numpy(zero_copy_only=False)).tobytes()
