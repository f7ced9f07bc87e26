"""What a person who mistyped a name may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_LEAST_ALIKE = 0.6
_MOST_COMPARED = 200_000


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'X'?` with the known name most like `word`, or nothing: the end of an error's line."""
    names = {name.casefold(): name for name in islice(known, _MOST_COMPARED)}
    found = get_close_matches(word.casefold(), names, n=1, cutoff=_LEAST_ALIKE)
    return f"; did you mean {names[found[0]]!r}?" if found else ""
