"""What a pickle can hold in an array's place to make numpy or torch read elsewhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch


class Asks:
    """Pickled as a call, and then as a change of what it gave."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, change: Any = None) -> None:
        self.reduced = (function, arguments) if change is None else (function, arguments, change)

    def __reduce__(self) -> Any:
        return self.reduced


FIELDS = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
"""Says that eight bytes are the address of an object."""
ARRAYS = np._core.multiarray  # type: ignore[attr-defined]
REBUILD_TENSOR = torch._utils._rebuild_tensor_v2
TWO_NUMBERS = torch.zeros(2)._typed_storage()

HOSTILE = {
    "fields": Asks(np.dtype, "V8", False, True, change=FIELDS),
    "objects": Asks(np.dtype, "O"),
    "old state": Asks(np.dtype, "f8", False, True, change=(0, 1309829123, None, None, -1, -1, 0)),
    "array state": Asks(ARRAYS._reconstruct, np.ndarray, (0,), b"b", change=(1, (2**40,), "f8", False, b"x" * 8)),
    "short number": Asks(ARRAYS.scalar, np.dtype("f8"), b"short"),
    "long": Asks(REBUILD_TENSOR, TWO_NUMBERS, 0, (4,), (1,), False, {}),
    "wide": Asks(REBUILD_TENSOR, TWO_NUMBERS, 0, (10**6,), (0,), False, {}),
    "changed tensor": Asks(REBUILD_TENSOR, TWO_NUMBERS, 0, (2,), (1,), False, {}, change=(1, 2, 3)),
    "zip": Asks(torch.storage._load_from_bytes, b"PK\x03\x04"),
    "empty bytes": Asks(bytearray, 2**40),
}
