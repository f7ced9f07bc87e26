"""A clip's range on the time line of its media: where it begins, when it has passed, whether all of it was there."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any, Self

from datasets.media import END_TOLERANCE_MS
from datasets.media.durations import duration_us
from datasets.media.restarts import Restarts, restarts_of
from datasets.outcomes import MediaError

_COARSE_S = {"video": Fraction(1, 10), "audio": Fraction(1, 1000)}
"""A stream whose unit of time is longer is read in thousandths of it: ffmpeg's rounding would move its pictures, and
sound whose unit is a packet (AVI)."""


def round_half_up(number: int | Fraction) -> int:
    """To the nearest whole number, halves upwards, as ffmpeg rounds what it cuts away."""
    return floor(number + Fraction(1, 2))


class Clock:
    """A stream's time, counted from the cut in ticks; plain numbers, as fractions cost a twentieth of decoding."""

    def __init__(self, time_base: Fraction, cut_us: int, start_ms: int, coarse_s: Fraction) -> None:
        self._ticks_per_unit = 1000 if time_base > coarse_s else 1
        self.tick = time_base / self._ticks_per_unit
        """Seconds."""
        self.ms_per_tick = float(1000 * self.tick)
        self._shift = round_half_up(Fraction(cut_us, 1_000_000) / self.tick)
        self.end = -round_half_up(Fraction(start_ms, 1000) / self.tick)
        """Of the last frame; before any, where the file begins: some have no times (Matroska none below 0)."""

    def ms(self, ticks: int) -> float:
        """Milliseconds after the cut, of a time as the file has it."""
        return (ticks * self._ticks_per_unit - self._shift) * self.ms_per_tick

    def read(self, pts: int | None, duration: int | None) -> int:
        """A frame's time; one without follows the frame before it."""
        time = self.end if pts is None else pts * self._ticks_per_unit - self._shift
        self.end = time + (duration or 0) * self._ticks_per_unit
        return time


@dataclass
class ClipTimes:
    """The clip [start_ms, start_ms + clip_ms) of a media file, and how far its streams have been read."""

    start_ms: int
    clip_ms: int | None
    """To the end of the media when not given."""
    media_ms: int | None
    """What the media announces to last, if it does."""
    origin_us: int
    """Where the media's own time begins."""
    is_range: bool = True
    """False for all of a file, of which nothing is cut away."""
    restarts: Restarts | None = None
    """Where the media's clock starts anew in its middle."""
    reached_ms: float = 0.0
    """The furthest end of a frame, counted from the clip's start."""
    _clocks: dict[int, Clock] = field(default_factory=dict)

    @classmethod
    def of(cls, container: Any, start_ms: int | None, end_ms: int | None) -> Self:
        """The times of the clip [start_ms, end_ms) of an open container, or of all of it."""
        restarts = restarts_of(container)
        announced_us = duration_us(container) if restarts is None else None
        announced_ms = None if announced_us is None else announced_us // 1000
        return cls(
            start_ms=start_ms or 0,
            clip_ms=None if end_ms is None else end_ms - (start_ms or 0),
            media_ms=announced_ms if restarts is None else round(1000 * restarts.length_s),
            origin_us=container.start_time or 0,
            is_range=start_ms is not None or end_ms is not None,
            restarts=restarts,
        )

    @property
    def cut_us(self) -> int:
        """The clip's start on the media's own time line."""
        return self.origin_us + self.start_ms * 1000

    @property
    def announced_ms(self) -> float:
        """What is left of the media after the cut, as far as one knows."""
        return self.reached_ms if self.media_ms is None else self.media_ms - self.start_ms

    @property
    def end_ms(self) -> float:
        """The clip's end, or the media's where that is earlier, after the cut."""
        end_ms = max(self.announced_ms, self.reached_ms)
        return end_ms if self.clip_ms is None else min(self.clip_ms, end_ms)

    def check_start(self) -> None:
        """Raise MediaError if the clip starts after the media's end."""
        if self.media_ms is not None and 0 < self.media_ms <= self.start_ms:
            raise MediaError("clip_past_end", f"clip starts at {self.start_ms} ms, media lasts {self.media_ms} ms")

    def clock(self, stream: Any) -> Clock:
        """The one clock of a stream."""
        if stream.index not in self._clocks:
            self._clocks[stream.index] = Clock(stream.time_base, self.cut_us, self.start_ms, _COARSE_S[stream.type])
        return self._clocks[stream.index]

    def to_clip_time(self, stream: Any, pts: int | None, duration: int | None) -> int:
        """A frame's time in ticks of its stream's clock from the clip's start."""
        clock = self.clock(stream)
        time = clock.read(pts, duration)
        self.reach(clock.end * clock.ms_per_tick)
        return time

    def reach(self, end_ms: float) -> None:
        """The media have something until so long after the cut."""
        self.reached_ms = max(self.reached_ms, end_ms)

    def is_past(self, stream: Any, time: int) -> bool:
        """Whether a stream that has come so far has given all of the clip."""
        return self.clip_ms is not None and time * self.clock(stream).ms_per_tick >= self.clip_ms

    def check_end(self, has_frame: bool) -> None:
        """Raise MediaError unless the media gave what it announced and what was asked for, but for a tolerance."""
        if not has_frame:
            past = self.media_ms is not None and self.start_ms >= self.media_ms - END_TOLERANCE_MS > 0
            raise MediaError("clip_past_end" if past else "decode_failed", "no frame could be decoded in the clip")
        wanted_ms = self.announced_ms if self.clip_ms is None else min(self.clip_ms, self.announced_ms)
        if self.reached_ms < wanted_ms - END_TOLERANCE_MS:
            told = f"{self.reached_ms:.0f} of {wanted_ms} ms could be decoded"
            raise MediaError("decode_failed", f"file breaks off: {told}")
        if self.clip_ms is not None and self.clip_ms > max(self.announced_ms, self.reached_ms) + END_TOLERANCE_MS:
            told = f"clip of {self.clip_ms} ms, media has {self.announced_ms} ms from its start"
            raise MediaError("clip_past_end", told)
