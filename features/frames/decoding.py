"""The PyAV door: one pass over a clip gives its 1 fps frames, its 24 fps frames and its waveform.

The grid in one sentence: frames and samples are those that `ffmpeg -ss START -t DURATION -i MEDIA` hands to the
reference extractor's filters, whatever the media (rotation is applied, then the picture is scaled to a size computed
from the stored width and height; pixel aspect is ignored). Frames equal the reference's byte for byte on CPU.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.codec.hwaccel import HWAccel

from features.frames.decoded import ClipError, DecodedClip, Float32, UInt8, join_pieces
from features.frames.filters import SAMPLING_RATE, audio_filters, frame_sizes, video_chains, video_filters
from features.frames.times import ClipTimes

SEEK_BACK_MS = 200
"""Seek this much before the clip: audio decoders need what precedes, and B-frames are stored late."""
_TIMEOUT_S = 60.0


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
    with _open(Path(path), decoder) as container:
        reader = _Reader(container, start_ms, end_ms)
        for _ in reader.read():
            while frames_per_piece is not None and reader.num_waiting("3d") > frames_per_piece:
                yield reader.take(frames_per_piece)
        reader.times.check_end(has_frame=reader.first_frame is not None)
        yield reader.take()


def read_waveform(path: str | Path) -> Float32:
    """All samples of a sound or video file, mono, 16 kHz, float32 [N].

    Raises:
        ClipError: with reason media_missing, no_audio or decode_failed.
    """
    with _open(Path(path)) as container:
        reader = _Reader(container, None, None, with_video=False)
        if reader.audio is None:
            raise ClipError("no_audio", f"{Path(path).name} has no audio stream")
        for _ in reader.read():
            pass
        if reader.num_damaged or not reader.branches:
            raise ClipError("decode_failed", f"{Path(path).name}: {reader.num_damaged} damaged packets of sound")
        return reader.take_waveform()


@contextmanager
def _open(path: Path, decoder: str = "cpu") -> Iterator[Any]:
    if not path.is_file():
        raise ClipError("media_missing", f"no file {path}")
    hwaccel = HWAccel("cuda", allow_software_fallback=True) if decoder == "nvdec" else None
    try:
        container = av.open(str(path), options={"protocol_whitelist": "file"}, timeout=_TIMEOUT_S, hwaccel=hwaccel)
    except av.FFmpegError as error:
        raise ClipError("decode_failed", f"cannot open {path.name}: {error.strerror}") from error
    with container:
        try:
            yield container
        except av.FFmpegError as error:
            raise ClipError("decode_failed", f"{path.name}: {error.strerror}") from error


@dataclass
class _Branch:
    """One filter graph and the arrays that have come out of it."""

    graph: Any
    arrays: list[Any] = field(default_factory=list)
    num_taken: int = 0

    def push(self, frame: Any) -> None:
        try:
            self.graph.push(frame)
            while True:
                self.arrays.append(self.graph.pull().to_ndarray())
        except (av.error.BlockingIOError, av.error.EOFError):
            return

    def take(self, num_arrays: int | None = None) -> list[Any]:
        taken = self.arrays[:num_arrays]
        del self.arrays[:num_arrays]
        self.num_taken += len(taken)
        return taken


class _Reader:
    """Reads the packets of one clip, decodes each once, and feeds the branches."""

    def __init__(self, container: Any, start_ms: int | None, end_ms: int | None, *, with_video: bool = True) -> None:
        self.container = container
        self.is_range = start_ms is not None or end_ms is not None
        self.times = ClipTimes(
            start_ms=start_ms or 0,
            clip_ms=None if end_ms is None else end_ms - (start_ms or 0),
            media_ms=None if container.duration is None else container.duration // 1000,
            origin_us=container.start_time or 0,
        )
        self.video = _pick_video(container) if with_video else None
        if self.video is not None:
            picture = self.video.codec_context.width, self.video.codec_context.height
            self.chains, self.sizes = video_chains(*picture), frame_sizes(*picture)
        self.audio = max(_decodable(container.streams.audio), key=lambda stream: stream.channels, default=None)
        self.branches: dict[str, _Branch] = {}
        self.first_frame: Any = None
        self.open_streams = {stream.index for stream in (self.video, self.audio) if stream is not None}
        self.num_frames = self.num_damaged = 0

    def read(self) -> Iterator[None]:
        """Seek, then decode until every stream has passed the clip's end; yields after every frame."""
        self.times.check_start()
        self._seek()
        for stream, frame in self._decoded():
            frame.pts = self.times.to_clip_time(stream.index, frame.time_base, frame.pts, frame.duration)
            if stream is self.video:
                self._take_video(frame)
            else:
                self._take_audio(frame)
            yield
            if not self.open_streams:
                break
        for branch in self.branches.values():
            branch.push(None)

    def _seek(self) -> None:
        origin_us, target_ms = self.times.origin_us, self.times.start_ms - SEEK_BACK_MS
        if target_ms > 0:
            try:
                self.container.seek(origin_us + target_ms * 1000)
            except av.FFmpegError:
                self.container.seek(origin_us)

    def _decoded(self) -> Iterator[tuple[Any, Any]]:
        """Every frame in the order of reading; packets that cannot be decoded are counted and passed over."""
        for packet in self._packets():
            if packet.stream.index not in self.open_streams:
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.num_damaged += 1
                continue
            for frame in frames:
                yield packet.stream, frame

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self.container.demux([stream for stream in (self.video, self.audio) if stream is not None])
        except av.FFmpegError:
            self.num_damaged += 1

    def _take_video(self, frame: Any) -> None:
        self.num_frames += 1
        self.num_damaged += bool(frame.is_corrupt)
        if self.is_range and frame.pts < 0:
            return
        if self.first_frame is None:
            self.first_frame = frame
            for name, chain in self.chains.items():
                self.branches[name] = _Branch(_make_graph(video_filters(frame, [*self._trim("trim"), *chain])))
        for name in ("2d", "3d"):
            self.branches[name].push(frame)
        self._close_if_past(self.video, frame.pts - self.first_frame.pts)

    def _take_audio(self, frame: Any) -> None:
        if "audio" not in self.branches:
            graph = _make_graph(audio_filters(frame, self._trim("atrim")))
            graph.set_audio_frame_size(SAMPLING_RATE)
            self.branches["audio"] = _Branch(graph)
        self.branches["audio"].push(frame)
        self._close_if_past(self.audio, frame.pts)

    def _close_if_past(self, stream: Any, elapsed_ticks: int) -> None:
        if self.times.is_past(stream.index, elapsed_ticks):
            self.open_streams.discard(stream.index)

    def num_waiting(self, name: str) -> int:
        """Frames of a branch that have not been taken."""
        return len(self.branches[name].arrays) if name in self.branches else 0

    def take(self, num_frames_3d: int | None = None) -> DecodedClip:
        """What has been decoded since the last time: so many 24 fps frames (all when not given), all of the rest."""
        waveform = self.take_waveform()
        counts = self.num_frames, self.num_damaged
        self.num_frames = self.num_damaged = 0
        is_last = num_frames_3d is None
        frames_2d, frames_3d = self._take_frames("2d", None, is_last), self._take_frames("3d", num_frames_3d, is_last)
        return DecodedClip(frames_2d, frames_3d, waveform, *counts)

    def take_waveform(self) -> Float32:
        """Samples since the last time."""
        chunks = self.branches["audio"].take() if "audio" in self.branches else []
        return np.concatenate([chunk.reshape(-1) for chunk in chunks]) if chunks else np.zeros(0, np.float32)

    def _take_frames(self, name: str, num_frames: int | None, is_last: bool) -> UInt8:
        """Frames of a branch; a clip too short for the grid gives its first frame, where the reference loses it."""
        branch = self.branches[name]
        arrays = branch.take(num_frames)
        if is_last and branch.num_taken == 0:
            branch = _Branch(_make_graph(video_filters(self.first_frame, self.chains[name][1:])))
            branch.push(self.first_frame)
            branch.push(None)
            arrays = branch.take()
        width, height = self.sizes[name]
        return np.array(arrays, np.uint8).reshape(len(arrays), height, width, 3)

    def _trim(self, filter_name: str) -> list[str]:
        if not self.is_range:
            return []
        clip_ms = self.times.clip_ms
        return [f"{filter_name}=start=0" + ("" if clip_ms is None else f":duration={clip_ms}ms")]


def _decodable(streams: Iterable[Any]) -> list[Any]:
    return [stream for stream in streams if stream.codec_context is not None]


def _pick_video(container: Any) -> Any:
    """The first video stream that is not a cover picture."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise ClipError("no_video", "the file has no video stream")
    if not _decodable(streams[:1]):
        raise ClipError("decode_failed", "no decoder for the video stream")
    streams[0].codec_context.thread_count = 1
    return streams[0]


def _make_graph(filters: list[str]) -> Any:
    graph = av.filter.Graph()
    graph.threads = 1  # pictures this small cost more to share between threads than to scale
    nodes = [graph.add(*filter_.split("=", 1)) for filter_ in filters]
    graph.link_nodes(*nodes).configure()
    return graph
