"""The one door to PyAV: media files opened and read, filter graphs made, headers written.

Media come from strangers: only plain files of known containers are opened (no network, no playlists that name other
files, no keys).

Of some streams a file says nothing at its beginning: MPEG-TS, program streams and FLV name them when they come.
libavformat looks at the first seconds. Where it has found no sound or no picture there, the file is read through once;
if another stream appears, the file is opened again, and all of it looked at.
"""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import av.filter
from av.codec.hwaccel import HWAccel
from av.sidedata.sidedata import Type

from datasets.media.avi_chunks import find_damage
from datasets.media.containers import NOT_OPENED, PICTURE_BRANDS, SAFETY
from datasets.media.layouts import take_usual_orders
from datasets.media.ogg_chains import find_links
from datasets.media.packet_times import timed
from datasets.outcomes import DeviceError, MediaError, ran_out

OPEN_TIMEOUT_S = 60.0
MediaFault = av.FFmpegError
"""What PyAV raises where a file cannot be read on."""
_NAMED_LATE = frozenset({"mpegts", "mpeg", "flv"})
_LEAST_INDEXED = 8
"""Packets: libavformat puts the first ones that it reads into the index of an AVI that has none."""
_GENPTS = 0x1
"""Of libavformat, set by PyAV and not by ffmpeg: H.264 in AVI would have the times of the packets behind."""
_KEPT: list[Any] = []
"""What holds the GPU's context for as long as this process lives."""
_MOST_BYTES = 1 << 30
"""What is looked at is held in memory: a stream that first appears later is not found."""


def existing_file(path: str | Path) -> Path:
    """The absolute path; raises MediaError "media_missing" where no file is."""
    if not Path(path).is_file():
        raise MediaError("media_missing", f"no file {Path(path).name}")
    return Path(path).resolve()


@contextmanager
def open_media(path: str | Path, decoder: str = "cpu") -> Iterator[Any]:
    """The container of a file; what goes wrong while it is open is a MediaError.

    Args:
        path: a local file.
        decoder: cpu, or nvdec for a GPU's own.

    Raises:
        MediaError: "media_missing", or "decode_failed" for what is no media file (empty, text, HTML, no streams).
        DeviceError: nvdec, and this machine has none that works.
    """
    file = existing_file(path)
    hwaccel = None
    if decoder == "nvdec":
        hwaccel = HWAccel("cuda", allow_software_fallback=False, options=check_nvdec())
    try:
        container = _open_by(hwaccel, file)
        if _may_have_late_streams(container):
            num_bytes = min(file.stat().st_size, _MOST_BYTES)
            with suppress(MediaFault):
                patient = SAFETY | {"probesize": str(num_bytes), "analyzeduration": str(10**12)}
                whole = _open(str(file), patient, hwaccel)
                container.close()
                container = whole
        with container:
            _check_avi(container)
            yield container
    except MediaFault as error:
        if ran_out(error):
            raise
        raise MediaError("decode_failed", f"{file.name}: {error.strerror}") from error


def _open_by(hwaccel: HWAccel | None, file: Path) -> Any:
    """DeviceError where only the GPU is to blame: it may have no room for one more decoder."""
    try:
        return _open(str(file), SAFETY, hwaccel)
    except MediaFault as error:
        if hwaccel is None:
            raise
        _open(str(file), SAFETY).close()
        raise nvdec_lacks(f"{file.name} ({error.strerror})") from error


def _open(path: str, options: Mapping[str, str], hwaccel: HWAccel | None = None) -> Any:
    refusal = MediaError("decode_failed", f"cannot open {Path(path).name}: {NOT_OPENED}")
    try:
        container = av.open(
            f"file:{path}", options=dict(options), metadata_errors="replace", timeout=OPEN_TIMEOUT_S, hwaccel=hwaccel
        )
    except av.ArgumentError as error:
        raise refusal from error
    container.flags &= ~_GENPTS
    if container.metadata.get("major_brand") in PICTURE_BRANDS:
        container.close()
        raise refusal
    take_usual_orders(container)
    return container


def _may_have_late_streams(container: Any) -> bool:
    if container.format.name not in _NAMED_LATE or (container.streams.video and container.streams.audio):
        return False
    return _has_late_streams(*identify(container))


def _check_avi(container: Any) -> None:
    """MediaError for a damaged AVI of which no index says when is seen and heard what lies behind.

    The index counts its bytes from the first packet: where that is lost it says nothing, either.
    """
    if container.format.name != "avi":
        return
    indices = [stream.index_entries for stream in container.streams]
    is_indexed = sum(map(len, indices)) >= _LEAST_INDEXED
    first = min(index[0].pos for index in indices if len(index)) if is_indexed else None
    if (damage := find_damage(*identify(container), first)) is not None:
        told = f"{Path(container.name).name} is damaged at byte {damage}, and no index says when the rest is shown"
        raise MediaError("decode_failed", told)


def identify(container: Any) -> tuple[str, int, int]:
    """Path, size and time of change of the file that is open: what was read of it once holds while these are equal."""
    path = container.name.removeprefix("file:")
    status = Path(path).stat()
    return path, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _has_late_streams(path: str, _size: int, _changed: int) -> bool:
    with _open(path, SAFETY) as container:
        try:
            for _ in container.demux():
                pass
        except IndexError:  # PyAV's sign: at the end it looks for streams that it has not met
            return True
        except (MediaFault, ValueError):  # the file breaks off
            return False
        return False


def demux(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of some streams, or of all, from where the container is; of a chain those of all links.

    Of packets the times are in ticks of the file's streams, and begin anew with each link; the decoder is the link's.
    """
    with suppress(IndexError):  # at the end PyAV 18 looks for streams that appeared while it read
        links = links_of(container)
        if len(links) < 2:
            yield from timed(container, container.demux(*streams))
            return
        for start, end in pairwise([*links, inf]):
            yield from _demux_link(container, streams, start, end)


def links_of(container: Any) -> tuple[float, ...]:
    """Where the links of an open chain of Ogg begin, in bytes; of no chain it is one, of other formats none.

    libavformat reads on only into a link of one sound track that is coded, sampled and mixed as the first was, and
    stops elsewhere without a word.
    """
    return find_links(*identify(container)) if container.format.name == "ogg" else ()


def _demux_link(container: Any, streams: Sequence[Any], start: float, end: float) -> Iterator[Any]:
    """The packets of a link; MediaError where it cannot be opened or has not streams of the kinds of the file's."""
    path = container.name.removeprefix("file:")
    options = SAFETY | {"skip_initial_bytes": str(start)}
    try:
        link = _open(path, options)
    except MediaFault as error:
        raise MediaError("decode_failed", f"{Path(path).name}: no link can be read at byte {start}") from error
    with link, suppress(MediaFault):
        if [stream.type for stream in link.streams] != [stream.type for stream in container.streams]:
            raise MediaError("decode_failed", f"{Path(path).name}: a link of other streams begins at byte {start}")
        for packet in link.demux([link.streams[stream.index] for stream in streams]):
            if packet.pos is not None and packet.pos >= end:
                return
            time_base = container.streams[packet.stream_index].time_base
            if packet.time_base != time_base:
                times = (time and round(time * packet.time_base / time_base) for time in (packet.pts, packet.dts))
                packet.duration = round((packet.duration or 0) * packet.time_base / time_base)
                (packet.pts, packet.dts), packet.time_base = times, time_base
            yield packet


def read_packets(path: str, near_us: int | None = None) -> Iterator[Any]:
    """All packets of a file, as far as it can be read, or those from a key frame before a time on."""
    with open_media(path) as container:
        if near_us is not None:
            with suppress(MediaFault):
                container.seek(near_us)
        with suppress(MediaFault):
            yield from demux(container)


def make_graph(filters: list[str]) -> Any:
    """A filter graph of these filters, each linked to the next.

    Raises:
        MediaError: decode_failed, and what it is that cannot be filtered: a file may change to it in its middle.
    """
    graph = av.filter.Graph()
    graph.threads = 1  # pictures this small cost more to share between threads than to scale
    try:
        nodes = [graph.add(*filter_.split("=", 1)) for filter_ in filters]
        graph.link_nodes(*nodes).configure()
    except MediaFault as error:
        kind = filters[0].partition("=")[2].replace(":", ", ")
        raise MediaError("decode_failed", f"what comes as {kind} cannot be filtered: {error.strerror}") from error
    return graph


def usual_layout(num_channels: int) -> Any | None:
    """The layout that libswresample takes so many channels for that have no places; None where none is usual (nine)."""
    with suppress(ValueError):
        return av.AudioLayout(f"{num_channels}c")
    return None


def display_matrix(picture: Any) -> tuple[int, ...] | None:
    """The nine numbers by which a picture is turned and mirrored where it is shown; None where it is shown as it is."""
    matrix = picture.side_data.get(Type.DISPLAYMATRIX)
    return None if matrix is None else struct.unpack("9i", bytes(matrix))


def _unnamed(kind: type[Type], value: Any) -> Type:
    """What may lie beside a picture and has no name in PyAV 18, which would refuse to show any of it: EXIF, views."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNNAMED_{value}", value
    return member


Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]  # the enumeration's own way, set from outside


def write_header(stream: Any, muxer: str, **options: str) -> bytes:
    """The header of a file that would hold a stream; empty where that muxer takes no such codec."""
    file = io.BytesIO()
    with suppress(MediaFault, ValueError), av.open(file, "w", format=muxer, options=options) as written:
        written.add_stream_from_template(stream, opaque=True)
        written.start_encoding()
    return file.getvalue()


@cache
def check_nvdec() -> dict[str, object]:
    """Decode a picture of our own by the GPU: what fails before any file is seen is no file's fault.

    A CUDA context costs more than many a clip, so that the device's primary one is asked for, which this process then
    keeps. Where torch has it with other flags, FFmpeg refuses to share it, and makes one for each file.

    Returns:
        Options for `HWAccel`.

    Raises:
        DeviceError: no such decoder, driver or memory.
    """
    picture = _made_up_picture()
    complaint, sharing = "", dict[str, object](primary_ctx="1")
    for options in (sharing, {}):
        try:
            hwaccel = HWAccel("cuda", allow_software_fallback=False, options=options)
            container = av.open(io.BytesIO(picture), "r", hwaccel=hwaccel)
            next(container.decode(video=0))
        except (MediaFault, NotImplementedError, StopIteration) as error:
            complaint = getattr(error, "strerror", None) or str(error) or "no picture came out"
        else:
            _KEPT.append(container)
            return options
    raise nvdec_lacks(f"({complaint})")


def _made_up_picture() -> bytes:
    """An mp4 of black."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as written:
        stream = written.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        picture = av.VideoFrame(256, 256, "yuv420p")
        written.mux([packet for frame in (picture, picture, None) for packet in stream.encode(frame)])
    return file.getvalue()


def nvdec_lacks(what: str) -> DeviceError:
    """The error of a machine whose GPU does not decode what it is given: the CPU would, but by other roundings."""
    return DeviceError(f"features.decoder = 'nvdec': the GPU does not decode {what}: set it to cpu")
