"""Text that strangers wrote, before people see it: in a terminal, a log, a spreadsheet."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What a spreadsheet may run. The wide forms count where Japanese is typed, and blanks before them are passed over.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")


def make_visible(text: str, kept: str = "") -> str:
    """Characters that a terminal obeys as their escapes: controls, those of C1 too, and marks that turn the direction.

    Args:
        text: of any origin.
        kept: controls that may stay, such as a line end.
    """
    if text.isprintable():
        return text
    # A blank of any width shows; Python calls all but one of them unprintable.
    return "".join(
        c if c.isprintable() or c in kept or unicodedata.category(c) == "Zs" else ascii(c)[1:-1] for c in text
    )


def one_line(text: object, most: int = 300) -> str:
    """The first `most` characters of what a stranger wrote, fit for a terminal; line ends are escapes, too."""
    return make_visible(str(text)[:most])


def guard_cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it; anything else stays."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unguard_cell(text: str) -> str:
    """What `guard_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def make_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A CSV file for people, UTF-8 with a header: no cell of it is a formula, and what a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows({name: guard_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode()
