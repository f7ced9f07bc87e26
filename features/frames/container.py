"""The PyAV door: a media file opened, its packets decoded one by one, its frames put through a filter graph."""

import io
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import av
import av.filter
import av.sidedata.sidedata
from av.codec.hwaccel import HWAccel

from datasets.containers import SAFETY
from datasets.outcomes import DeviceError
from datasets.sound_tracks import choose_track
from features.frames.decoded import ClipError
from features.frames.filters import PictureKind
from features.frames.times import ClipTimes

_TIMEOUT_S = 60.0
_SEEK_BACK_MS = (200, 2_000, 10_000, 60_000)
"""Seek this much before the clip: audio decoders need what precedes, and B-frames are stored late. Where there is no
index, as in MPEG-TS, a seek may land after a key frame, and is tried again from further back."""
_LEAD_MS = 1_000
"""Sound is stored this much before the picture of its time, and not more."""
_INTERLEAVED_MS = 10_000
"""Streams of one file are stored no further apart (libavformat's own max_interleave_delta)."""
_HELD_BACK = frozenset({"mpegts", "mpeg"})
"""Formats whose reader gives a picture only when it has found the next one, however late that is."""


@contextmanager
def open_media(path: Path, decoder: str = "cpu") -> Iterator[Any]:
    """The container of a local file; what goes wrong while it is open is a ClipError.

    Args:
        path: a local file.
        decoder: cpu, or nvdec for a GPU's own.

    Raises:
        ClipError: with reason media_missing or decode_failed.
        DeviceError: nvdec, and this machine has none that works.
    """
    if not path.is_file():
        raise ClipError("media_missing", f"no file {path}")
    if decoder == "nvdec":
        check_nvdec()
    hwaccel = HWAccel("cuda", allow_software_fallback=False) if decoder == "nvdec" else None
    try:
        container = av.open(
            f"file:{path}", options=SAFETY, metadata_errors="replace", timeout=_TIMEOUT_S, hwaccel=hwaccel
        )
    except av.FFmpegError as error:
        raise ClipError("decode_failed", f"cannot open {path.name}: {error.strerror}") from error
    with container:
        try:
            yield container
        except av.FFmpegError as error:
            raise ClipError("decode_failed", f"{path.name}: {error.strerror}") from error


def demux(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of some streams, or of all, from where the container is."""
    with suppress(IndexError):  # at the end PyAV 18 looks for streams that appeared while it read
        yield from container.demux(*streams)


def read_packets(path: str) -> Iterator[Any]:
    """All packets of a file, as far as it can be read."""
    with open_media(Path(path)) as container, suppress(av.FFmpegError):
        yield from demux(container)


@cache
def check_nvdec() -> None:
    """Decode a picture of our own by the GPU: what fails before any file is seen is no file's fault.

    Raises:
        DeviceError: no such decoder, driver or memory.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as written:
        stream = written.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for _ in range(2):
            written.mux(stream.encode(av.VideoFrame(256, 256, "yuv420p")))
        written.mux(stream.encode())
    file.seek(0)
    try:
        with av.open(file, "r", hwaccel=HWAccel("cuda", allow_software_fallback=False)) as container:
            next(container.decode(video=0))
    except (av.FFmpegError, NotImplementedError, StopIteration) as error:
        complaint = getattr(error, "strerror", None) or str(error) or "no picture came out"
        raise nvdec_lacks(f"({complaint})") from error


def nvdec_lacks(what: str) -> DeviceError:
    """The error of a machine whose GPU does not decode what it is given: the CPU would, but by other roundings."""
    return DeviceError(f"features.decoder = 'nvdec': the GPU does not decode {what}: set it to cpu")


def decodable(streams: Iterable[Any]) -> list[Any]:
    """Those of the streams for which there is a decoder."""
    return [stream for stream in streams if stream.codec_context is not None]


def pick_video(container: Any) -> Any:
    """The video stream that ffmpeg picks: no cover picture, the default one or the largest.

    Raises:
        ClipError: with reason no_video or decode_failed.
    """
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise ClipError("no_video", "the file has no video stream")
    if not decodable(streams):
        raise ClipError("decode_failed", "no decoder for the video stream")
    # By pixels, of which the default flag is worth five million (map_auto_video of fftools/ffmpeg_mux_init.c).
    default = av.stream.Disposition.default
    stream = max(
        decodable(streams),
        key=lambda s: s.codec_context.width * s.codec_context.height + 5_000_000 * bool(s.disposition & default),
    )
    stream.codec_context.thread_count = 1
    return stream


def pick_audio(container: Any, audio_track: int | None = None) -> Any:
    """The sound track of this index, or the one that the rule of all readers chooses; None without any."""
    index = choose_track(container.streams.audio, wanted=audio_track)
    return None if index is None else container.streams[index]


def kind_of(picture: Any) -> PictureKind:
    """What a graph for this picture is built for."""
    matrix = picture.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    return PictureKind(
        picture.width,
        picture.height,
        picture.format.name,
        int(picture.colorspace),
        int(picture.color_range),
        int(picture.color_primaries),
        int(picture.color_trc),
        None if matrix is None else struct.unpack("9i", bytes(matrix)),
    )


class Demuxer:
    """Reads the packets of a clip's streams and decodes each once.

    Args:
        container: an open media file.
        streams: those that are wanted.
        times: the clip.
        video: that of the streams whose picture at the cut must come; none for sound alone.
    """

    def __init__(self, container: Any, streams: Iterable[Any], times: ClipTimes, video: Any = None) -> None:
        self.container, self.times, self.video = container, times, video
        self.streams = list(streams)
        self.open_streams = {stream.index for stream in self.streams}
        self.num_damaged = 0
        self._first_pts: int | None = None
        """Of the key frame after a seek: what is shown before it refers to pictures that were not decoded."""

    def close(self, stream: Any) -> None:
        """Decode no more of a stream."""
        self.open_streams.discard(stream.index)

    def frames(self) -> Iterator[tuple[Any, Any]]:
        """Every stream and frame in the order of reading, until all streams are closed or far past the clip's end.

        Packets that cannot be decoded are counted and passed over.
        """
        # No packet of the clip can follow after it; a still under a song has none of its own past the clip's end.
        clip_ms = None if self.container.format.name in _HELD_BACK else self.times.clip_ms
        last_ms = inf if clip_ms is None else clip_ms + _INTERLEAVED_MS
        try:
            for packet in self._packets_from_cut():
                if _is_flush(packet):
                    continue
                if not self.open_streams or self._ms_after_cut(packet, packet.dts) > last_ms:
                    break
                yield from self._decode(packet.stream, packet)
        except av.FFmpegError:
            self.num_damaged += 1
        for stream in self.streams:
            yield from self._decode(stream, None)

    def _decode(self, stream: Any, packet: Any) -> Iterator[tuple[Any, Any]]:
        """The frames of a packet, or those that a decoder still holds."""
        if stream.index not in self.open_streams:
            return
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            self.num_damaged += 1
            return
        for frame in frames:
            if stream is not self.video or None in (frame.pts, self._first_pts) or frame.pts >= self._first_pts:
                yield stream, frame

    def _ms_after_cut(self, packet: Any, ticks: int | None) -> float:
        """Minus infinity for a packet without time, which some containers give only to the first."""
        return -inf if ticks is None else self.times.clock(packet.stream).ms(ticks)

    def _packets_from_cut(self) -> Iterator[Any]:
        """Packets from a key frame at or before the cut on; from the start where a seek finds none."""
        if self.times.restarts is not None:
            yield from self._last_key_on(self.times.restarts.apply(demux(self.container, *self.streams)))
            return
        is_moved = False
        for back_ms in _SEEK_BACK_MS:
            if self.video is None or self.container.start_time is None or self.times.start_ms <= back_ms:
                break  # a file without times (a bare stream) has nothing to seek by
            is_moved = True
            if not self._seek(self.times.start_ms - back_ms):
                break
            packets = demux(self.container, *self.streams)
            skipped = self._skip_to_key(packets)
            if skipped is not None:
                yield from skipped
                yield from packets
                return
        if is_moved:
            self._first_pts = None
            if not self._seek(-_INTERLEAVED_MS):  # MPEG-TS needs a time before its start to go there, AVI knows none
                self._seek(0)
        yield from demux(self.container, *self.streams)

    def _last_key_on(self, packets: Iterable[Any]) -> Iterator[Any]:
        """Without a seek: packets of the video from its last key frame before the cut on, and all of sound."""
        held: list[Any] = []
        is_past = self.video is None
        for packet in packets:
            if is_past or packet.stream is not self.video:
                yield packet
                continue
            if packet.is_keyframe:
                held, self._first_pts = [], packet.pts
            held.append(packet)
            if is_past := _is_flush(packet) or self._ms_after_cut(packet, packet.dts) > 0:
                yield from held

    def _seek(self, media_ms: int) -> bool:
        """To the last key frame before a time, as far as the file knows of one; whether it can be done."""
        target = Fraction(self.times.origin_us + media_ms * 1000, 1_000_000) / self.video.time_base
        try:
            self.container.seek(int(target), stream=self.video)
        except av.FFmpegError:
            return False
        return True

    def _skip_to_key(self, packets: Iterator[Any]) -> list[Any] | None:
        """Packets up to the video's first key frame, if that is on the screen before the cut; sound among them kept."""
        sound: list[Any] = []
        for packet in packets:
            if _is_flush(packet):
                return None
            is_video = packet.stream is self.video
            time_ms = self._ms_after_cut(packet, packet.dts if packet.pts is None else packet.pts)
            if is_video and packet.is_keyframe:
                self._first_pts = packet.pts
                return [*sound, packet] if time_ms <= 0 else None
            if time_ms > (0 if is_video else _LEAD_MS):
                return None
            if not is_video:
                sound.append(packet)
        return None


def _is_flush(packet: Any) -> bool:
    """Whether a packet is PyAV's sign that a stream has ended."""
    return not packet.size and packet.pts is None and packet.dts is None


def make_graph(filters: list[str]) -> Any:
    """A graph of these filters, each linked to the next.

    Raises:
        ClipError: decode_failed, and what it is that cannot be filtered: a file may change to it in its middle.
    """
    graph = av.filter.Graph()
    graph.threads = 1  # pictures this small cost more to share between threads than to scale
    try:
        nodes = [graph.add(*filter_.split("=", 1)) for filter_ in filters]
        graph.link_nodes(*nodes).configure()
    except av.FFmpegError as error:
        kind = filters[0].partition("=")[2].replace(":", ", ")
        raise ClipError("decode_failed", f"what comes as {kind} cannot be filtered: {error.strerror}") from error
    return graph
