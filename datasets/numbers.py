"""The one reader of numbers that strangers write: in lists, in what a site says, in headers. Bounds before anything."""

import re
from decimal import Decimal
from typing import Any

Number = int | float | Decimal

# Three digits of exponent: 1e999999 is no number of anything that we read, and computing with it fills memory.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")


def read_number(value: Any, low: float, high: float) -> Number:
    """A number from `low` to `high`, written as a number or as text.

    Text is read in ASCII digits and exactly, as a Decimal; numbers come back as they are. True and False are none.

    Raises:
        ValueError: no number, not finite, or out of bounds.
    """
    number = Decimal(value.strip()) if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        raise ValueError(f"must be a number, got {describe(value)}")
    if not low <= number <= high:
        raise ValueError(f"must be from {low} to {high}, got {describe(value)}")
    return number


def describe(value: Any) -> str:
    """A stranger's value, or its kind, in a few words for a message."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, float):
        return str(value)
    if isinstance(value, int | Decimal):
        return str(value) if -(10**30) < value < 10**30 else "a number of more than 30 digits"
    return "a list" if isinstance(value, list | tuple) else "an object"
