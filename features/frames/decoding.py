"""One pass over a clip gives its 1 fps frames, its 24 fps frames and its waveform.

The grid in one sentence: frames and samples are those that `ffmpeg -ss START -t DURATION -i MEDIA` hands to the
reference extractor's filters, whatever the media (rotation is applied, then the picture is scaled to a size computed
from the stored width and height; pixel aspect is ignored). Frames equal the reference's byte for byte on CPU.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features.frames.container import Branch, Demuxer, make_graph, open_media, pick_video
from features.frames.decoded import DecodedClip, UInt8, join_pieces
from features.frames.filters import frame_sizes, trim_filters, video_chains, video_filters
from features.frames.sound import Sound, pick_audio
from features.frames.times import ClipTimes

SEEK_BACK_MS = 200
"""Seek this much before the clip: audio decoders need what precedes, and B-frames are stored late."""


def decode_clip(path: str | Path, start_ms: int | None = None, end_ms: int | None = None) -> DecodedClip:
    """Decode the clip [start_ms, end_ms) of a media file once, by a seek; all of it when no range is given.

    Args:
        path: a local file.
        start_ms: milliseconds from the start of the media.
        end_ms: milliseconds from the start of the media, after `start_ms`.

    Raises:
        ClipError: with reason media_missing, no_video, decode_failed (also when the file breaks off early) or
            clip_past_end.
        ValueError: an empty or negative range.
    """
    return join_pieces(list(decode_pieces(path, start_ms, end_ms)))


def decode_pieces(
    path: str | Path,
    start_ms: int | None = None,
    end_ms: int | None = None,
    frames_per_piece: int | None = None,
    decoder: str = "cpu",
) -> Iterator[DecodedClip]:
    """What `decode_clip` gives, in pieces, so that memory does not grow with the clip.

    Args:
        path: a local file.
        start_ms: milliseconds from the start of the media.
        end_ms: milliseconds from the start of the media, after `start_ms`.
        frames_per_piece: 24 fps frames of every piece but the last; one piece when not given.
        decoder: cpu, or nvdec for a GPU's own (formats it lacks are decoded on the CPU).

    Raises:
        ClipError: as `decode_clip`; a file that breaks off is noticed after the pieces before it.
        ValueError: an empty or negative range.
    """
    if (start_ms or 0) < 0 or (end_ms is not None and end_ms <= (start_ms or 0)):
        raise ValueError(f"clip must be 0 <= start_ms < end_ms, got [{start_ms}, {end_ms})")
    with open_media(Path(path), decoder) as container:
        reader = _Reader(container, start_ms, end_ms)
        for _ in reader.read():
            while frames_per_piece is not None and reader.num_waiting("3d") > frames_per_piece:
                yield reader.take(frames_per_piece)
        reader.times.check_end(has_frame=reader.first_frame is not None)
        yield reader.take()


class _Reader:
    """Reads the packets of one clip, decodes each once, and feeds the branches."""

    def __init__(self, container: Any, start_ms: int | None, end_ms: int | None) -> None:
        self.times = ClipTimes.of(container, start_ms, end_ms)
        self.video, self.audio = pick_video(container), pick_audio(container)
        self.demuxer = Demuxer(container, [stream for stream in (self.video, self.audio) if stream is not None])
        picture = self.video.codec_context.width, self.video.codec_context.height
        self.chains, self.sizes = video_chains(*picture), frame_sizes(*picture)
        self.branches: dict[str, Branch] = {}
        self.sound = Sound(self.times)
        self.first_frame: Any = None
        self.num_frames = self.num_damaged = 0

    def read(self) -> Iterator[None]:
        """Seek, then decode until every stream has passed the clip's end; yields after every frame."""
        self.times.check_start()
        origin_us, target_ms = self.times.origin_us, self.times.start_ms - SEEK_BACK_MS
        if target_ms > 0:
            self.demuxer.seek(origin_us, origin_us + target_ms * 1000)
        for stream, frame in self.demuxer.frames():
            is_past = self._take_video(frame) if stream is self.video else self.sound.push(frame, stream.index)
            if is_past:
                self.demuxer.close(stream)
            yield
        for branch in self.branches.values():
            branch.push(None)
        self.sound.finish()

    def _take_video(self, frame: Any) -> bool:
        """Put a frame in; whether the stream has now given all of the clip."""
        frame.pts = self.times.to_clip_time(self.video.index, frame.time_base, frame.pts, frame.duration)
        self.num_frames += 1
        self.num_damaged += bool(frame.is_corrupt)
        if self.times.is_range and frame.pts < 0:
            return False
        if self.first_frame is None:
            self.first_frame = frame
            trim = trim_filters("trim", self.times)
            for name, chain in self.chains.items():
                self.branches[name] = Branch(make_graph(video_filters(frame, [*trim, *chain])))
        for name in ("2d", "3d"):
            self.branches[name].push(frame)
        return self.times.is_past(self.video.index, frame.pts - self.first_frame.pts)

    def num_waiting(self, name: str) -> int:
        """Frames of a branch that have not been taken."""
        return len(self.branches[name].arrays) if name in self.branches else 0

    def take(self, num_frames_3d: int | None = None) -> DecodedClip:
        """What has been decoded since the last time: so many 24 fps frames (all when not given), all of the rest."""
        counts = self.num_frames, self.num_damaged + self.demuxer.num_damaged
        self.num_frames = self.num_damaged = self.demuxer.num_damaged = 0
        is_last = num_frames_3d is None
        frames_2d, frames_3d = self._take_frames("2d", None, is_last), self._take_frames("3d", num_frames_3d, is_last)
        return DecodedClip(frames_2d, frames_3d, self.sound.take(), *counts)

    def _take_frames(self, name: str, num_frames: int | None, is_last: bool) -> UInt8:
        """Frames of a branch; a clip too short for the grid gives its first frame, where the reference loses it."""
        branch = self.branches[name]
        arrays = branch.take(num_frames)
        if is_last and branch.num_taken == 0:
            branch = Branch(make_graph(video_filters(self.first_frame, self.chains[name][1:])))
            branch.push(self.first_frame)
            branch.push(None)
            arrays = branch.take()
        width, height = self.sizes[name]
        return np.array(arrays, np.uint8).reshape(len(arrays), height, width, 3)
