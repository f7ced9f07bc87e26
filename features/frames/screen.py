"""What is on the screen of a clip, and until when: arithmetic over the times of pictures.

In ordinary media, of 12 pictures a second or more, the clip is the reference's: `ffmpeg -ss START -t DURATION`, which
counts from the first picture after the cut and stops at the first one past the end. Where the next picture is further
away (slides, a still under a song), the picture on the screen at the cut is the first, and the end is exact.
"""

from fractions import Fraction
from typing import Any

from features.frames.times import round_half_up

_LEAST_ORDINARY_FPS = 12
_FILM_GAP_S = Fraction(1001, 24000)
"""From one picture to the next at the slowest rate of film: so close they are ordinary whatever their mean rate is."""
Span = tuple[Any, int | Fraction]
"""A picture, and the time until which it is on the screen."""


class Screen:
    """Pictures in the order in which they come on; times are in ticks from the cut.

    Args:
        tick: seconds of a tick.
        fps: pictures a second on average, if that is known.
        clip_ms: duration of the clip; to the end of the media when not given.
        is_range: False for all of a file, of which nothing is cut away.
    """

    def __init__(self, tick: Fraction, fps: Fraction | None, clip_ms: int | None, is_range: bool) -> None:
        self.first_time = 0
        """Of the clip's first picture: later than the cut where nothing was on before."""
        self.is_over = False
        """Whether a picture has come that is past the clip's end."""
        self._clip = None if clip_ms is None else Fraction(clip_ms, 1000) / tick
        self._stop = None if self._clip is None else round_half_up(self._clip)
        """From this time on pictures are not the clip's."""
        own_gap_s = 1 / fps if fps is not None and fps >= _LEAST_ORDINARY_FPS else Fraction(0)
        self._gap = int(max(_FILM_GAP_S, own_gap_s) / tick)
        self._is_range, self._is_begun, self._is_ordinary = is_range, not is_range, False
        self._picture: Any = None

    def change(self, picture: Any, time: int) -> Span | None:
        """Another picture comes on: the one before it, if that is the clip's."""
        before, self._picture = self._picture, picture
        if self._is_range and time < 0:
            return None
        if not self._is_begun:
            self._is_begun = True
            self._is_ordinary = time <= self._gap and (self._stop is None or time < self._stop)
            if self._is_ordinary:
                before = None
                self._stop = None if self._stop is None else self._stop + time
        self.first_time = time if before is None else self.first_time
        self.is_over = self._stop is not None and time >= self._stop
        return None if before is None else (before, self._until(time))

    def end(self, time: int | Fraction) -> Span | None:
        """No other picture comes: the last one, which stays until `time`, if that is the clip's."""
        if self.is_over or self._picture is None:
            return None
        self.is_over = True
        return self._picture, self._until(time)

    def _until(self, time: int | Fraction) -> int | Fraction:
        """A time, but not past the clip's end; ordinary media pass it by less than a picture, as in the reference."""
        if self._clip is None or self._stop is None or time < self._stop:
            return time
        return time if self._is_ordinary and time - self._stop <= self._gap else self._clip
