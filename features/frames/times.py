"""A clip's range on the time line of its media: where it begins, when it has passed, whether all of it was there."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

from features.frames.decoded import ClipError

END_TOLERANCE_MS = 1000
"""A clip may miss this much at its end (streams of one file rarely end together) before it counts as lost."""


@dataclass
class _Clock:
    """A stream's time, as plain numbers: fractions for every frame cost a twentieth of decoding."""

    shift: int
    ms_per_tick: float
    next_pts: int = 0


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
    reached_ms: float = 0.0
    """The furthest end of a frame, counted from the clip's start."""
    _clocks: dict[int, _Clock] = field(default_factory=dict)

    @classmethod
    def of(cls, container: Any, start_ms: int | None, end_ms: int | None) -> Self:
        """The times of the clip [start_ms, end_ms) of an open container, or of all of it."""
        return cls(
            start_ms=start_ms or 0,
            clip_ms=None if end_ms is None else end_ms - (start_ms or 0),
            media_ms=None if container.duration is None else container.duration // 1000,
            origin_us=container.start_time or 0,
            is_range=start_ms is not None or end_ms is not None,
        )

    def check_start(self) -> None:
        """Raise ClipError if the clip starts after the media's end."""
        if self.media_ms is not None and 0 < self.media_ms <= self.start_ms:
            raise ClipError("clip_past_end", f"clip starts at {self.start_ms} ms, media lasts {self.media_ms} ms")

    def to_clip_time(self, stream: int, time_base: Fraction, pts: int | None, duration: int | None) -> int:
        """A frame's time in ticks from the clip's start, rounded as ffmpeg rounds it; a frame without one follows."""
        if stream not in self._clocks:
            shift = round((self.origin_us + self.start_ms * 1000) / (1_000_000 * time_base))
            self._clocks[stream] = _Clock(shift, float(1000 * time_base))
        clock = self._clocks[stream]
        pts = clock.next_pts if pts is None else pts - clock.shift
        clock.next_pts = pts + (duration or 0)
        self.reached_ms = max(self.reached_ms, clock.next_pts * clock.ms_per_tick)
        return pts

    def is_past(self, stream: int, elapsed_ticks: int) -> bool:
        """Whether a stream that has come so far has given all of the clip."""
        return self.clip_ms is not None and elapsed_ticks * self._clocks[stream].ms_per_tick >= self.clip_ms

    def check_end(self, has_frame: bool) -> None:
        """Raise ClipError unless the media gave what it announced and what was asked for, but for a tolerance."""
        if not has_frame:
            past = self.media_ms is not None and self.start_ms >= self.media_ms - END_TOLERANCE_MS > 0
            raise ClipError("clip_past_end" if past else "decode_failed", "no frame could be decoded in the clip")
        announced_ms = self.reached_ms if self.media_ms is None else self.media_ms - self.start_ms
        wanted_ms = announced_ms if self.clip_ms is None else min(self.clip_ms, announced_ms)
        if self.reached_ms < wanted_ms - END_TOLERANCE_MS:
            told = f"{self.reached_ms:.0f} of {wanted_ms} ms could be decoded"
            raise ClipError("decode_failed", f"file breaks off: {told}")
        if self.clip_ms is not None and self.clip_ms > max(announced_ms, self.reached_ms) + END_TOLERANCE_MS:
            raise ClipError("clip_past_end", f"clip of {self.clip_ms} ms, media has {announced_ms} ms from its start")
