"""What a pickle of a stranger may ask for before it is read: its opcodes are looked at, none is carried out."""

import math
import pickle
import pickletools
import time
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

MAX_VISITS = 10**8
"""Values that building a pickle may look at, those inside others counted each time: a second or two of hashing."""
_MEMO_WRITES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_MEMO_READS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_CHANGES = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"})


def check_opcodes(file: IO[bytes] | Any, deadline: float = math.inf) -> None:
    """Refuse a pickle that fills the memory or takes for ever, and leave the file behind its end.

    Five bytes that name place 2^32 - 1 of the memo make Python fill 32 GB; forty pairs of the pair before are hashed
    for a day, in C, where no signal stops it.

    Args:
        file: anything with `read` and `readline` that gives at most what is there, such as BytesIO or mmap.
        deadline: of `time.monotonic()`.

    Raises:
        ValueError: not a pickle, a memo place beyond the number of opcodes before it, values in values without end, or
            not read by the deadline.
    """
    stack, memo, num_visits = [], {}, 0  # type: ignore[var-annotated]
    with warnings.catch_warnings(action="ignore"):  # of escapes that no pickler writes
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if opcode.name in _MEMO_WRITES and (not isinstance(argument, int) or argument > count):
                raise ValueError(f"memo place {str(argument)[:20]} after {count} operations: made to fill memory")
            num_visits += _carry_weights(opcode, argument, stack, memo)
            if num_visits > MAX_VISITS:
                raise ValueError(f"values in values, over {MAX_VISITS:,} of them in few bytes: made to take time")
            check_clock(deadline)


def check_only_pickle(file: IO[bytes] | Any, deadline: float = math.inf) -> None:
    """As `check_opcodes`, and refuse what follows the end: other pickles, which would be lost without a word."""
    check_opcodes(file, deadline)
    if file.read(1):
        raise ValueError("holds more after the end of its pickle: put all of it into one")


def check_clock(deadline: float) -> None:
    """Raise ValueError when `time.monotonic()` is past the deadline."""
    if time.monotonic() > deadline:
        raise ValueError("reading takes longer than any such file needs: made to take time")


def _carry_weights(opcode: Any, argument: Any, stack: list[list[int] | None], memo: dict[Any, Any]) -> int:
    """Do to weights what the unpickler does to values, and return the weight of what is used up.

    A value's weight, in a list of its own since a container grows after the memo has it, is 1 and the weights of what
    is in it; None stands for a mark.
    """
    name = opcode.name
    if name == "MARK":
        stack.append(None)
    elif name in _MEMO_WRITES:
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in _MEMO_READS:
        stack.append(memo[argument])
    elif name == "DUP":
        stack.append(stack[-1])
    elif name in ("INST", "OBJ"):
        raise ValueError(f"{name}, which no pickler has written since Python 2: do not trust this file")
    else:
        used = 0
        for kind in reversed(opcode.stack_before[name in _CHANGES :]):
            if kind is pickletools.stackslice:
                while stack[-1] is not None:
                    used += stack.pop()[0]  # type: ignore[index]
            else:
                used += (stack.pop() or [0])[0]
        if name in _CHANGES:
            stack[-1][0] += used  # type: ignore[index]
        else:
            stack.extend([1 + used] for _ in opcode.stack_after)
        return used
    return 0
