"""Inputs that somebody else wrote: right ones with something wrong in them, and plain nonsense."""

from typing import Any

from hypothesis import strategies as st

# Lone surrogates included: JSON can carry them, UTF-8 and Arrow cannot.
TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 2**31, 2**63, 10**20, float("inf"), float("nan"), True])
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@st.composite
def twisted(draw: Any, valid: Any) -> Any:
    """`valid` with up to three of its values, at any depth, replaced, taken out or doubled."""
    value = valid
    for _ in range(draw(st.integers(0, 3))):
        value = _twist(draw, value)
    return value


def _twist(draw: Any, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value, key=str)))
        rest = {name: item for name, item in value.items() if name != key}
        return rest if draw(st.integers(0, 9)) == 0 else {**rest, key: _twist(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        changed = draw(st.sampled_from(["twist", "drop", "double"]))
        middle = {"twist": lambda: [_twist(draw, value[place])], "drop": list, "double": lambda: [value[place]] * 2}
        return value[:place] + middle[changed]() + value[place + 1 :]
    if isinstance(value, str) and value and draw(st.booleans()):
        return draw(mutated_text(value))
    return draw(JSON)


class Content(bytes):
    """A file's bytes; a failing test prints the first of them and how to reproduce the rest."""

    def __repr__(self) -> str:
        return f"{bytes(self[:200])!r} of {len(self)} bytes"


@st.composite
def mutated(draw: Any, valid: bytes, max_edits: int = 4) -> bytes:
    """`valid` with a few bytes overwritten, taken out or put in, or cut short."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(0, max_edits))):
        place, length = draw(st.integers(0, len(content))), draw(st.integers(0, 8))
        content[place : place + length] = draw(st.binary(max_size=8))
    return Content(content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 7)) == 0 else content)


@st.composite
def mutated_text(draw: Any, valid: str) -> str:
    """`valid` with one stretch of it replaced."""
    place, length = draw(st.integers(0, len(valid))), draw(st.integers(0, 6))
    return valid[:place] + draw(TEXT) + valid[place + length :]
