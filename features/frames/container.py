"""The PyAV door: a media file opened, its packets decoded one by one, its frames put through a filter graph."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import av.filter
from av.codec.hwaccel import HWAccel

from features.frames.decoded import ClipError

_TIMEOUT_S = 60.0


@contextmanager
def open_media(path: Path, decoder: str = "cpu") -> Iterator[Any]:
    """The container of a local file; what goes wrong while it is open is a ClipError.

    Args:
        path: a local file.
        decoder: cpu, or nvdec for a GPU's own (formats it lacks are decoded on the CPU).

    Raises:
        ClipError: with reason media_missing or decode_failed.
    """
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


def decodable(streams: Iterable[Any]) -> list[Any]:
    """Those of the streams for which there is a decoder."""
    return [stream for stream in streams if stream.codec_context is not None]


def pick_video(container: Any) -> Any:
    """The first video stream that is not a cover picture."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise ClipError("no_video", "the file has no video stream")
    if not decodable(streams[:1]):
        raise ClipError("decode_failed", "no decoder for the video stream")
    streams[0].codec_context.thread_count = 1
    return streams[0]


class Demuxer:
    """Reads the packets of some streams of a container and decodes each once."""

    def __init__(self, container: Any, streams: Iterable[Any]) -> None:
        self.container = container
        self.streams = list(streams)
        self.open_streams = {stream.index for stream in self.streams}
        self.num_damaged = 0

    def seek(self, origin_us: int, target_us: int) -> None:
        """To the last key frame before the target, or to the origin where the file knows of none."""
        try:
            self.container.seek(target_us)
        except av.FFmpegError:
            self.container.seek(origin_us)

    def close(self, stream: Any) -> None:
        """Decode no more of a stream."""
        self.open_streams.discard(stream.index)

    def frames(self) -> Iterator[tuple[Any, Any]]:
        """Every stream and frame in the order of reading, until all streams are closed.

        Packets that cannot be decoded are counted and passed over.
        """
        for packet in self._packets():
            if not self.open_streams:
                return
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
            yield from self.container.demux(self.streams)
        except av.FFmpegError:
            self.num_damaged += 1


@dataclass
class Branch:
    """One filter graph and the arrays that have come out of it."""

    graph: Any
    arrays: list[Any] = field(default_factory=list)
    num_taken: int = 0

    def push(self, frame: Any) -> None:
        """Put a frame in, None at the end, and keep what comes out."""
        try:
            self.graph.push(frame)
            while True:
                self.arrays.append(self.graph.pull().to_ndarray())
        except (av.error.BlockingIOError, av.error.EOFError):
            return

    def take(self, num_arrays: int | None = None) -> list[Any]:
        """So many arrays (all when not given), which are then no longer here."""
        taken = self.arrays[:num_arrays]
        del self.arrays[:num_arrays]
        self.num_taken += len(taken)
        return taken


def make_graph(filters: list[str]) -> Any:
    """A graph of these filters, each linked to the next."""
    graph = av.filter.Graph()
    graph.threads = 1  # pictures this small cost more to share between threads than to scale
    nodes = [graph.add(*filter_.split("=", 1)) for filter_ in filters]
    graph.link_nodes(*nodes).configure()
    return graph
