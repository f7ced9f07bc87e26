"""Numbers and lengths of time as people read them: one wording for terminal, report and card."""

import math
from typing import Any


def format_number(value: Any, keep_zero: bool = False) -> str:
    """A number with separators, at most one decimal; any other value as text, and nothing for what is absent.

    Args:
        value: what is shown.
        keep_zero: a decimal also after a whole float, where a column of them stands under each other.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and (keep_zero or not value.is_integer()):
        return f"{value:,.1f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def format_amount(ms: int) -> str:
    """A length in the unit that suits it: seconds to 10 minutes, minutes to 10 hours, then hours."""
    if ms < 600_000:
        return f"{ms / 1000:,.0f} s"
    return f"{ms / 60_000:,.0f} min" if ms < 36_000_000 else f"{ms / 3_600_000:,.1f} h"


def format_clock(ms: int) -> str:
    """Minutes and seconds, as in 12:05; hours in front when there are any."""
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
