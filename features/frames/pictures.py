"""The pictures of a clip: the frames of its video stream as rows on the grids of 1 and 24 a second."""

from fractions import Fraction
from typing import Any

import numpy as np

from datasets.media import END_TOLERANCE_MS
from datasets.media.container import display_matrix, make_graph
from datasets.outcomes import MediaError
from features.frames.decoded import UInt8
from features.frames.filters import FPS_2D, FPS_3D, Crop, PictureKind, frame_sizes, picture_chains, picture_filters
from features.frames.grid import Grid, round_to_row
from features.frames.screen import Screen, Span
from features.frames.times import ClipTimes

LONGEST_SHAPE = 100
"""So many times as long as wide a picture may be: a row has a short side of 224 pixels, and would fill the memory."""
_MOVING_MS = 1000
"""Pictures that have come closer than this for as long move: without more of them the screen is frozen."""


class Converter:
    """Pictures through one chain of filters; a graph never sees a picture of another kind than it was built for."""

    def __init__(self, chain: list[str], crop: Crop | None = None) -> None:
        self.chain, self.crop = chain, crop
        self._kind: PictureKind | None = None
        self._graph: Any = None

    def __call__(self, picture: Any) -> UInt8:
        """RGB [H, W, 3] of a picture."""
        kind = _kind_of(picture, self.crop)
        if kind != self._kind:
            self._kind, self._graph = kind, make_graph(picture_filters(kind, self.chain))
        self._graph.push(picture)
        done = self._graph.pull()
        # PyAV's to_ndarray gives the same and costs a twentieth of decoding more, under the interpreter's lock.
        if done.planes[0].line_size < 0:  # from the last line to the first
            return np.asarray(done.to_ndarray(), np.uint8)
        lines = np.frombuffer(done.planes[0], np.uint8).reshape(-1, done.planes[0].line_size)
        return lines[: done.height, : 3 * done.width].reshape(done.height, done.width, 3)


class Pictures:
    """The rows of a clip's two grids, from the frames of its video stream."""

    def __init__(self, stream: Any, times: ClipTimes, crop: Crop | None = None) -> None:
        self.stream, self.times, self.clock, self.crop = stream, times, times.clock(stream), crop
        self.num_frames = self.num_damaged = 0
        """Of what the decoder gave, before the cut too."""
        self.missing_ms = 0.0
        """For how long of the clip there is no picture; known at the end."""
        self._screen = Screen(self.clock.tick, stream.average_rate, times.clip_ms, times.is_range)
        self._first: Any = None
        """The clip's first picture."""
        self._first_time = self._last_time = 0
        """Of what the decoder gave."""
        self._gaps_ms = 0.0
        self._grids: dict[str, Grid] = {}
        """2d and 3d; none before the clip has a picture."""

    @property
    def has_rows(self) -> bool:
        """Whether the clip has a picture; known at the end."""
        return bool(self._grids)

    @property
    def num_waiting(self) -> int:
        """Rows of 24 a second that have not been taken."""
        return self._grids["3d"].num_waiting if self._grids else 0

    def push(self, frame: Any) -> bool:
        """Put a frame in; whether the stream has now given all of the clip."""
        before, before_end = self._last_time, self.clock.end
        pts = frame.dts if frame.pts is None else frame.pts  # H.264 in AVI is shown when it is decoded, as by ffmpeg
        self._last_time = self.times.to_clip_time(self.stream, pts, frame.duration)
        if self.num_frames and before_end > before:  # else the file does not say how long the one before is shown
            # What no picture claims, in the clip, between the end that the one before announced and this one.
            ms_per_tick, clip_ms = self.clock.ms_per_tick, self.times.clip_ms
            end_ms = self._last_time * ms_per_tick if clip_ms is None else min(self._last_time * ms_per_tick, clip_ms)
            gap_ms = end_ms - max(0.0, before_end * ms_per_tick)
            self._gaps_ms += gap_ms if gap_ms > END_TOLERANCE_MS else 0.0
        self._first_time = self._first_time if self.num_frames else self._last_time
        self.num_frames += 1
        self.num_damaged += bool(frame.is_corrupt)
        self._show(self._screen.change(frame, self._last_time))
        return self._screen.is_over

    def finish(self) -> None:
        """No frame comes any more: the last picture stays for its duration, or a slide for as long as there is sound.

        A clip too short for a grid has its first picture there, where the reference has none.
        """
        if not self._screen.is_over and self.num_frames:
            self._end()
        for grid in self._grids.values():
            if grid.num_shown == 0:
                grid.add(self._first, 1)
        self.missing_ms += self._gaps_ms if self._is_moving() else 0.0
        dark_ms = self._screen.first_time * self.clock.ms_per_tick
        self.missing_ms += dark_ms if dark_ms > END_TOLERANCE_MS else 0.0

    def _end(self) -> None:
        interval, ms_per_tick = self._interval(), self.clock.ms_per_tick
        end: int | Fraction = self.clock.end if self.clock.end > self._last_time else self._last_time + interval
        self.times.reach(float(end * ms_per_tick))
        frozen_ms = self.times.end_ms - float(end * ms_per_tick)
        if frozen_ms > END_TOLERANCE_MS:
            if self._is_moving():
                self.missing_ms = min(frozen_ms, self.times.end_ms)
            else:
                end = Fraction(self.times.end_ms) / 1000 / self.clock.tick
        self._show(self._screen.end(end))

    def _is_moving(self) -> bool:
        ms_per_tick = self.clock.ms_per_tick
        return self.times.start_ms + self._last_time * ms_per_tick >= _MOVING_MS > self._interval() * ms_per_tick

    def _interval(self) -> int:
        """Ticks from a picture to the next, on average."""
        if self.num_frames > 1:
            return (self._last_time - self._first_time) // (self.num_frames - 1)
        return round(1 / self.stream.average_rate / self.clock.tick) if self.stream.average_rate else 0

    def _show(self, span: Span | None) -> None:
        """Give a picture its rows; the first of a clip decides their size."""
        if span is None or span[1] <= 0:
            return
        picture, until = span
        if not self._grids:
            self._first, size = picture, _kind_of(picture, self.crop).displayed_size
            if max(*size, 1) > LONGEST_SHAPE * min(size):  # 0 x 0 where nothing is left after cropping
                raise MediaError("decode_failed", f"pictures of {size[0]} x {size[1]} pixels are strips")
            chains, sizes = picture_chains(*size), frame_sizes(*size)
            self._grids = {
                name: Grid(fps, sizes[name], Converter(chains[name], self.crop))
                for name, fps in (("2d", FPS_2D), ("3d", FPS_3D))
            }
        for grid in self._grids.values():
            grid.show(picture, until, self.clock.tick)

    def take(self, num_rows_3d: int | None = None) -> tuple[UInt8, UInt8]:
        """Rows of both grids that have not been taken: so many of 24 a second and their part of 1 a second, or all."""
        grid_2d, grid_3d = self._grids["2d"], self._grids["3d"]
        if num_rows_3d is None:
            return grid_2d.take(grid_2d.num_waiting), grid_3d.take(grid_3d.num_waiting)
        frames_3d = grid_3d.take(num_rows_3d)
        num_rows_2d = round_to_row(grid_3d.num_taken, Fraction(1, FPS_3D), FPS_2D) - grid_2d.num_taken
        return grid_2d.take(max(0, num_rows_2d)), frames_3d


def _kind_of(picture: Any, crop: Crop | None) -> PictureKind:
    """What a graph for this picture is built for, of which its container cuts something away, or nothing."""
    return PictureKind(
        picture.width,
        picture.height,
        picture.format.name,
        int(picture.colorspace),
        int(picture.color_range),
        int(picture.color_primaries),
        int(picture.color_trc),
        display_matrix(picture),
        crop,
        (8 // picture.format.chroma_width(8), 8 // picture.format.chroma_height(8)),
    )
