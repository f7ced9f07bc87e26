"""The PyAV door: a media file opened, its streams chosen, its frames put through a filter graph."""

import io
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import av
import av.filter
import av.sidedata.sidedata
from av.codec.hwaccel import HWAccel

from datasets.containers import NOT_OPENED, PICTURE_BRANDS, SAFETY
from datasets.late_streams import options_for_late_streams
from datasets.outcomes import DeviceError, ran_out
from datasets.sound_tracks import choose_track
from features.frames.decoded import ClipError
from features.frames.filters import Crop, PictureKind

_TIMEOUT_S = 60.0
MediaFault = av.FFmpegError
"""What PyAV raises where a file cannot be read on."""


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
        container = _open(str(path), SAFETY, hwaccel)
        if options := options_for_late_streams(container, _open):
            with suppress(av.FFmpegError):
                whole = _open(str(path), options, hwaccel)
                container.close()
                container = whole
    except av.FFmpegError as error:
        if ran_out(error):
            raise
        raise ClipError("decode_failed", f"cannot open {path.name}: {error.strerror}") from error
    with container:
        try:
            yield container
        except av.FFmpegError as error:
            raise ClipError("decode_failed", f"{path.name}: {error.strerror}") from error


def _open(path: str, options: Mapping[str, str], hwaccel: HWAccel | None = None) -> Any:
    try:
        container = av.open(
            f"file:{path}", options=dict(options), metadata_errors="replace", timeout=_TIMEOUT_S, hwaccel=hwaccel
        )
    except av.ArgumentError as error:
        raise ClipError("decode_failed", f"cannot open {Path(path).name}: {NOT_OPENED}") from error
    if container.metadata.get("major_brand") in PICTURE_BRANDS:
        container.close()
        raise ClipError("decode_failed", f"cannot open {Path(path).name}: {NOT_OPENED}")
    return container


def demux(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of some streams, or of all, from where the container is."""
    with suppress(IndexError):  # at the end PyAV 18 looks for streams that appeared while it read
        yield from container.demux(*streams)


def read_packets(path: str, near_us: int | None = None) -> Iterator[Any]:
    """All packets of a file, as far as it can be read, or those from a key frame before a time on."""
    with open_media(Path(path)) as container:
        if near_us is not None:
            with suppress(av.FFmpegError):
                container.seek(near_us)
        with suppress(av.FFmpegError):
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


def kind_of(picture: Any, crop: Crop | None) -> PictureKind:
    """What a graph for this picture is built for, of which its container cuts something away, or nothing."""
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
        crop,
        (8 // picture.format.chroma_width(8), 8 // picture.format.chroma_height(8)),
    )


def write_header(stream: Any, muxer: str, **options: str) -> bytes:
    """The header of a file that would hold a stream; empty where that muxer takes no such codec."""
    file = io.BytesIO()
    with suppress(av.FFmpegError, ValueError), av.open(file, "w", format=muxer, options=options) as written:
        written.add_stream_from_template(stream, opaque=True)
        written.start_encoding()
    return file.getvalue()


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
