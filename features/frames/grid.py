"""Which picture stands in which row: libavfilter's `fps=N:start_time=0` as arithmetic over pictures of any kind."""

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from features.frames.decoded import UInt8


class Grid:
    """Rows of pictures at `fps` a second from time 0: a row shows the last picture whose time rounds to it or before.

    A picture that fills many rows (a slide, a still) is kept once until they are taken.
    """

    def __init__(self, fps: int, size: tuple[int, int], convert: Callable[[Any], UInt8]) -> None:
        self.fps = fps
        self.size = size
        """Width and height of every row."""
        self.convert = convert
        self.num_shown = 0
        self.num_taken = 0
        self._runs: deque[tuple[UInt8, int]] = deque()

    @property
    def num_waiting(self) -> int:
        """Rows that have not been taken."""
        return self.num_shown - self.num_taken

    def show(self, picture: Any, until: int | Fraction, tick: Fraction) -> None:
        """Give a picture all rows that have none yet and begin before `until`, in ticks of so many seconds."""
        num_rows = round_to_row(until, tick, self.fps) - self.num_shown
        if num_rows > 0:
            self.add(picture, num_rows)

    def add(self, picture: Any, num_rows: int) -> None:
        """Give a picture the next rows."""
        self._runs.append((self.convert(picture), num_rows))
        self.num_shown += num_rows

    def take(self, num_rows: int) -> UInt8:
        """So many rows, or all that wait if they are fewer: [n, H, W, 3]; they are then no longer here."""
        num_rows = min(num_rows, self.num_waiting)
        width, height = self.size
        rows, filled = np.empty((num_rows, height, width, 3), np.uint8), 0
        while filled < num_rows:
            picture, num_left = self._runs.popleft()
            num_used = min(num_left, num_rows - filled)
            rows[filled : filled + num_used] = picture
            filled += num_used
            if num_used < num_left:
                self._runs.appendleft((picture, num_left - num_used))
        self.num_taken += num_rows
        return rows


def round_to_row(ticks: int | Fraction, tick: Fraction, fps: int) -> int:
    """The row of a time, halves upwards, in whole numbers: a fraction for every picture would cost a twentieth."""
    divisor = 2 * tick.denominator
    return int((2 * fps * tick.numerator * ticks + tick.denominator) // divisor)
