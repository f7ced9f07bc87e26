"""Times as lists write them: seconds or milliseconds, as numbers or text, and clocks such as 1:02:03.5."""

import re
from decimal import Decimal
from typing import Any

from datasets.numbers import describe, read_number

MAX_MS = 10**9 - 1
"""What the nine digits of a clip's id can say: eleven days."""

_CLOCK = re.compile(r"(-?)(?:([0-9]{1,3}):)?([0-9]{1,4}):([0-9]{1,2}(?:[.,][0-9]{1,9})?)")


def read_time(value: Any, unit_ms: int = 1000) -> int:
    """Whole milliseconds; below 0 where the list says so.

    Args:
        value: a number, its text, or `m:ss`, `mm:ss.f`, `h:mm:ss`.
        unit_ms: of a plain number: 1000 for seconds, 1 for milliseconds.

    Raises:
        ValueError: no time, or beyond eleven days.
    """
    clock = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if clock is None:
        try:
            number = read_number(value, -MAX_MS / unit_ms, MAX_MS / unit_ms)
        except ValueError as error:
            raise ValueError(f"a time {error}") from None
        return round(Decimal(str(number)) * unit_ms)
    sign, hours, minutes, seconds = clock.groups()
    second = Decimal(seconds.replace(",", "."))
    if second >= 60 or (hours is not None and int(minutes) >= 60):
        raise ValueError(f"a time has 60 seconds a minute and 60 minutes an hour, got {describe(clock.group())}")
    total = int(hours or 0) * 3600 + int(minutes) * 60 + second
    if total * 1000 > MAX_MS:
        raise ValueError(f"a time must be below eleven days, got {describe(clock.group())}")
    return round((-total if sign else total) * 1000)


def is_time(value: str) -> bool:
    """True if `read_time` reads it."""
    try:
        read_time(value)
    except ValueError:
        return False
    return True
