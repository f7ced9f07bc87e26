"""The geometry of label strips: integer milliseconds in, SVG paths and percentages out."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil

# One row a strip up to this length, so that a screen holds nine videos; a clip of 5 s is then 10 px wide on it.
ROW_MS = 600_000
STRIP_HEIGHT = 40
# Height tells the labels apart where colour does not.
LABEL_HEIGHTS = {"speech": 40, "music": 28, "noise": 16, "no_energy": 6}

Span = tuple[int, int]


def split_rows(duration_ms: int, row_ms: int = ROW_MS) -> list[Span]:
    """Rows [start_ms, end_ms) that cover a video: as few as hold `row_ms` each, of equal length but for rounding."""
    num_rows = max(1, ceil(duration_ms / row_ms))
    edges = [duration_ms * i // num_rows for i in range(num_rows + 1)]
    return list(pairwise(edges))


def cut_to_row(spans: Iterable[Span], row: Span) -> list[Span]:
    """The parts of half-open `spans` that lie in `row`, in ms from the row's start."""
    start, end = row
    cut = ((max(a, start) - start, min(b, end) - start) for a, b in spans)
    return [(a, b) for a, b in cut if a < b]


def draw_label(spans: Iterable[Span], height: int) -> str:
    """An SVG path of one rectangle a span, standing on the strip's ground; x in ms, y in [0, STRIP_HEIGHT]."""
    return "".join(f"M{a} {STRIP_HEIGHT}v-{height}h{b - a}v{height}z" for a, b in spans)


def place_on_row(span: Span, row: Span) -> tuple[str, str] | None:
    """Left edge and width of a span on a row as CSS percentages; None when they do not overlap."""
    cut = cut_to_row([span], row)
    if not cut:
        return None
    length_ms = row[1] - row[0]
    return _percent(cut[0][0], length_ms), _percent(cut[0][1] - cut[0][0], length_ms)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3f}%"


def overlap_ms(first: Sequence[Span], second: Sequence[Span]) -> int:
    """Milliseconds that lie in a span of both lists; each list sorted and without overlaps of its own."""
    total = i = j = 0
    while i < len(first) and j < len(second):
        total += max(0, min(first[i][1], second[j][1]) - max(first[i][0], second[j][0]))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return total
