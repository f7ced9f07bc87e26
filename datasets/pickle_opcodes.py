"""What a pickle of a stranger may ask for before it is read: its opcodes are looked at, none is carried out."""

import pickle
import pickletools
import warnings
from typing import IO, Any

# What Python's unpickler raises for a file that was not made by a pickler; it promises no closed list of its own.
UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    ArithmeticError,
    ValueError,
    TypeError,
    AttributeError,
    ImportError,
    AssertionError,
    RuntimeError,
    RecursionError,
    MemoryError,
    SystemError,
)

_MEMO_WRITES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


def check_opcodes(file: IO[bytes] | Any) -> None:
    """Refuse a pickle whose memo has holes: five bytes that name place 2^32 - 1 make Python fill 32 GB.

    Args:
        file: anything with `read` and `readline` that gives at most what is there, such as BytesIO or mmap.

    Raises:
        ValueError: not a pickle, or a memo place beyond the number of opcodes before it.
    """
    with warnings.catch_warnings(action="ignore"):  # of escapes that no pickler writes
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if opcode.name in _MEMO_WRITES and (not isinstance(argument, int) or argument > count):
                raise ValueError(f"memo place {str(argument)[:20]} after {count} operations: made to fill memory")
