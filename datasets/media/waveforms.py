"""What a waveform is, wherever one is made: one sound track as mono 16 kHz samples on the clock of its container.

Time 0 is the container's start, or a clip's. Where the track has nothing stands silence, so that a sample's place is
its time. Both workshops that open media make their waveforms here.
"""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from math import gcd
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datasets.media.channels import MOST_PLANES, mixing_filters, packed, part_of, parts_by_channel
from datasets.media.container import make_graph

SAMPLING_RATE = 16000
JUMP_S = 0.1
"""Sound that is off its time by more is moved there: the limit of ffmpeg's `aresample=async=1`."""
LATE_START_S = 0.02
"""The same where a track begins, or changes its layout or rate: containers round the priming of codecs by less."""
ROUNDED_S = 0.002
"""Times of containers are rounded by no more."""
STEPS = (128, 120)
"""Samples of Vorbis and Opus: frames of one size may follow others that differ by so many."""
LONGEST_JUMP_S = 3600.0
"""A time that is off by more is none: nobody's forged time stamp fills the memory with silence."""
BLOCK_S = 1.0
"""So much is held back: the beginning of a track is the mean of its times, and channels that cancel are found in it."""


def trim_filters(clip_ms: int | None) -> list[str]:
    """What leaves only the samples from time 0 to `clip_ms`, or to the track's end."""
    return ["atrim=start=0" + ("" if clip_ms is None else f":end={clip_ms}ms")]


def first_tick(stream: Any) -> int | None:
    """When a track begins, as its container says, by its own clock; None of ASF, whose first frames give no samples."""
    begins: int | None = None if stream.container.format.name == "asf" else stream.start_time
    return begins


def may_be_late(frame: Any, tick_s: float) -> bool:
    """Whether a frame may come before its time says, by up to MOST_GUESSED_S: libavformat takes it for longer."""
    is_longer: bool = (frame.duration or 0) * tick_s > 1.1 * frame.samples / frame.sample_rate
    return is_longer


class Waveform:
    """The samples of one track, as its frames come."""

    def __init__(
        self,
        sample_format: Literal["s16", "flt"],
        trim: Sequence[str] = (),
        origin_s: float | None = None,
    ) -> None:
        """Begin with nothing.

        Args:
            sample_format: of the samples: int16, or float32 in [-1, 1).
            trim: filters of `trim_filters`, for frames that may reach over the edges of a clip.
            origin_s: when the track begins, from time 0, as its container says; None where it does not.
        """
        self._format, self._trim, self._origin_s = sample_format, trim, origin_s
        self._graph: Any = None
        self._kind: tuple[int, str, str] | None = None
        self._channel: int | None = None
        self._block: list[Any] = []
        self._times_s: list[float] = []
        self._position: int | None = None
        self._block_s = self._guessed_s = self._next_s = self._tick_s = 0.0
        self._tolerance_s = LATE_START_S
        self._is_placed = False
        self._num_late = self._num_behind = 0
        self._off_s, self._behind_s = 0.0, JUMP_S
        self._chunks = [np.zeros(0, np.int16 if sample_format == "s16" else np.float32)]
        self.num_samples = 0
        self.num_silent = 0
        """Samples among them for which the track has nothing."""
        self.num_unheard = 0
        """Samples that the track has at times which had passed when they came: its clock went back."""
        self.lone_channel: int | None = None
        """The channel that was heard alone, where all of them cancel out."""
        self.lone_channel_s = 0.0

    def push(self, frame: Any) -> None:
        """Put a frame in; its pts are ticks from time 0, or None where it follows the frame before."""
        if frame.format.is_planar and frame.layout.nb_channels > MOST_PLANES:
            frame = packed(frame)
        kind = frame.sample_rate, frame.layout.name, frame.format.name
        self._tick_s = self._tick_s or float(frame.time_base)
        time_s = self._next_s if frame.pts is None else frame.pts * self._tick_s
        length_s = frame.samples / frame.sample_rate
        off_s = time_s - self._next_s
        # MPEG-TS has times for packets of many frames, and libavformat guesses those within: too early, for a while,
        # or, where they became shorter with another rate, too late.
        is_late = may_be_late(frame, self._tick_s)
        is_guessed = off_s < -self._behind_s or (is_late and off_s > JUMP_S)
        self._guessed_s = self._guessed_s + length_s if is_guessed else 0.0
        is_off = (off_s > JUMP_S and not is_late) or self._guessed_s > BLOCK_S
        if kind != self._kind or (is_off and abs(off_s) < LONGEST_JUMP_S):
            self._begin_anew(kind, time_s, self._num_behind if kind == self._kind and off_s < 0 else 0)
        is_behind = self._guessed_s or off_s < self._off_s - ROUNDED_S
        self._num_behind, self._off_s = self._num_behind + 1 if is_behind else 0, time_s - self._next_s
        self._block.append(frame)
        self._times_s.append(time_s)
        self._next_s += length_s
        self._block_s += length_s
        # While it is open whether times went back nothing is given out; of those off by hours it is never told.
        if self._block_s >= BLOCK_S and not 0 < self._guessed_s <= BLOCK_S:
            self._end_block()

    def finish(self, length_ms: int | None = None) -> None:
        """No frame comes any more: silence up to `length_ms`, where it is given and the track ends well before it."""
        if self._block:
            last = self._block[-1]
            base = last.time_base  # None of what a decoder still had at the end
            is_exact = base is not None and base.numerator == 1 and base.denominator == last.sample_rate
            if is_exact and 0 < (last.duration or 0) < last.samples:
                # Without what fills it up, where its container says how long it really is (mp4).
                self._block[-1] = part_of(last, 0, last.duration)
        self._end_block(is_end=True)
        self._close_graph()
        num_left = 0 if length_ms is None else length_ms * SAMPLING_RATE // 1000 - self.num_samples
        if num_left > JUMP_S * SAMPLING_RATE:
            self._add_silence(num_left)

    def take(self) -> npt.NDArray[Any]:
        """Samples since the last time."""
        taken = np.concatenate(self._chunks)
        self._chunks = [taken[:0]]
        return taken

    @property
    def missing_s(self) -> float:
        """Seconds of silence for which the track has nothing."""
        return self.num_silent / SAMPLING_RATE

    def describe(self) -> str | None:
        """What people should know of the sound; None of ordinary sound."""
        missing = f"{self.missing_s:.1f} of {self.num_samples / SAMPLING_RATE:.1f} s of sound missing"
        unheard_s = self.num_unheard / SAMPLING_RATE
        again = f"{unheard_s:.1f} s of sound lie at times that had passed, and are not heard"
        told = [missing if self.missing_s >= 0.05 else None, again if unheard_s >= 0.5 else None]
        return "; ".join(filter(None, [*told, self.describe_channels()])) or None

    def describe_channels(self) -> str | None:
        """Where one channel is heard alone; None where all are, as ordinarily."""
        if self.lone_channel is None:
            return None
        return f"channels cancel out for {self.lone_channel_s:.1f} s: channel {self.lone_channel} is heard alone"

    def _begin_anew(self, kind: tuple[int, str, str], time_s: float, num_behind: int) -> None:
        """Frames of another kind, or at another time than those before follow.

        Times that went back were not guessed, if they have not come to those before by now. So it is where a video was
        cut at other places than key frames and joined: what was cut away is there still, at the one time of the joint.
        Then the last `num_behind` frames end where this one begins, and what had its time before is not heard.
        """
        num_kept = max(0, len(self._block) - num_behind)
        behind, self._block, self._times_s = self._block[num_kept:], self._block[:num_kept], self._times_s[:num_kept]
        self._end_block(is_end=True)
        self._close_graph()
        self._channel = self._channel if kind == self._kind else None
        num_samples = sum(frame.samples for frame in behind)
        if self._kind is not None:
            self._tolerance_s = LATE_START_S if kind != self._kind else 0.0
            self._position = round(time_s * kind[0]) - num_samples
        self._behind_s = LATE_START_S if behind else self._behind_s
        self._block, self._block_s = behind, num_samples / kind[0]
        self._kind, self._next_s, self._guessed_s = kind, time_s, 0.0

    def _end_block(self, is_end: bool = False) -> None:
        """Put the frames that were held back through graphs that make one channel of theirs."""
        if not self._block:
            return
        rate = self._block[0].sample_rate
        if self._position is None:
            self._position = round(self._first_place(rate))
        self._times_s = []
        parts, self._block = parts_by_channel(self._block, self._channel, is_end)
        self._block_s = sum(frame.samples for frame in self._block) / rate
        for frames, channel in parts:
            self._filter(frames, channel)

    def _first_place(self, rate: int) -> float:
        """Where reading begins, in samples; after a gap the first time counts, as for ffmpeg.

        Containers round times, some to milliseconds: the mean over a second says it better, without those that
        libavformat guessed too early, as of frames that Matroska stores together, or too late: these go back. By as
        much as the track's own first time was rounded all of it is off, for ffmpeg, which counts samples from there: so
        is a part of it.
        """
        sizes = [frame.samples for frame in self._block]
        places = np.array(self._times_s) * rate - np.cumsum([0, *sizes[:-1]])
        best = places.min() if (np.diff(self._times_s) < -ROUNDED_S).any() else places.max()
        place = float(np.mean(places[abs(places - best) <= ROUNDED_S * rate]))
        if self._trim and self._times_s[0] > JUMP_S:
            return self._times_s[0] * rate
        if self._origin_s is None or self._tick_s * rate <= 1:
            return place
        # The first frame after a seek is shortened as that of the track was.
        is_later = self._times_s[0] - self._origin_s > self._tick_s
        step = max(gcd(step, *(sizes[1:] or sizes)) for step in STEPS) if is_later else 0
        off = self._origin_s * rate - place
        off -= round(off / step) * step if step > 2 * self._tick_s * rate else 0
        return place + off if abs(off) <= self._tick_s * rate else place

    def _filter(self, frames: list[Any], channel: int | None) -> None:
        first, rate = frames[0], frames[0].sample_rate
        if channel != self._channel:
            self._close_graph()
            self._channel = channel
        if channel is not None:
            self.lone_channel = channel
            self.lone_channel_s += sum(frame.samples for frame in frames) / rate
        if self._graph is None:
            source = f"abuffer=sample_rate={rate}:sample_fmt={first.format.name}"
            source += f":channel_layout={first.layout.name}:time_base=1/{rate}"
            mixing = mixing_filters(first.layout.name, first.layout.nb_channels, channel)
            resample = f"aresample={SAMPLING_RATE}:out_sample_fmt={self._format}:out_chlayout=mono"
            filters = [source, *self._trim, *mixing, resample, "abuffersink"]
            self._graph, self._is_placed = make_graph(filters), False
            self._graph.set_audio_frame_size(SAMPLING_RATE)
        for frame in frames:
            frame.time_base, frame.pts = Fraction(1, rate), self._position
            self._position += frame.samples
            self._push(frame)
        self._pull()

    def _close_graph(self) -> None:
        if self._graph is not None:
            self._push(None)
            self._pull()
            self._graph = None

    def _push(self, frame: Any) -> None:
        with suppress(EOFError):  # past the clip's end
            self._graph.push(frame)

    def _pull(self) -> None:
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            if not self._is_placed:
                # The first samples of a new graph lie where they belong: after silence, or without what is there.
                gap = frame.pts - self.num_samples
                is_off = self._tolerance_s < abs(gap) / SAMPLING_RATE < LONGEST_JUMP_S
                self._num_late = -gap if is_off and gap < 0 else 0
                if is_off and gap > 0:
                    self._add_silence(gap)
                self._tolerance_s, self._is_placed = JUMP_S, True
            num_unheard = min(self._num_late, frame.samples)
            self._num_late -= num_unheard
            self.num_unheard += num_unheard
            self._add(frame.to_ndarray().reshape(-1)[num_unheard:])

    def _add(self, samples: npt.NDArray[Any]) -> None:
        self._chunks.append(samples)
        self.num_samples += len(samples)

    def _add_silence(self, num_samples: int) -> None:
        self._add(np.zeros(num_samples, self._chunks[0].dtype))
        self.num_silent += num_samples
