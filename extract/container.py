"""The door to PyAV: what a media file says of itself, its chosen sound track, and the frames of that track.

Media come from strangers: only plain files of known containers are opened (no network, no playlists that name other
files, no keys), and whatever a file says is a number with a unit, never text to be searched.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
from av.stream import Disposition

from datasets.containers import NOT_OPENED, PICTURE_BRANDS, SAFETY
from datasets.durations import duration_us, last_end_us
from datasets.late_streams import options_for_late_streams
from datasets.outcomes import RowError, ran_out
from datasets.restarts import restarts_of
from datasets.sound_tracks import choose_track, is_counted
from extract.language import base_language

OPEN_TIMEOUT_S = 60.0
SEEK_BACK_MS = 200
"""Seek this much before a range: decoders of sound need what precedes."""


class MediaError(RowError):
    """A media file that cannot be used: "no_audio", "decode_failed" or "media_missing"."""


@dataclass(frozen=True)
class MediaInfo:
    """What the header of a media file says; `None` where it has no such stream or says nothing."""

    duration_ms: int
    width: int | None
    height: int | None
    fps: float | None
    video_codec: str | None
    audio_codec: str | None
    audio_track: int | None = None
    """Index of the stream that is heard, where there are several sound tracks."""


def existing_file(path: str | Path) -> Path:
    """The absolute path; raises MediaError "media_missing" where no file is."""
    if not Path(path).is_file():
        raise MediaError("media_missing", f"no file {Path(path).name}")
    return Path(path).resolve()


@contextmanager
def open_media(path: str | Path) -> Iterator[Any]:
    """The container of a file; what goes wrong while it is open is a MediaError.

    Raises:
        MediaError: "media_missing", or "decode_failed" for what is no media file (empty, text, HTML, no streams).
    """
    file = existing_file(path)
    try:
        container = _open(str(file), SAFETY)
        if options := options_for_late_streams(container, _open):
            with suppress(av.FFmpegError):
                whole = _open(str(file), options)
                container.close()
                container = whole
        with container:
            yield container
    except av.FFmpegError as error:
        if ran_out(error):
            raise
        raise MediaError("decode_failed", f"{file.name}: {error.strerror}") from error


def _open(path: str, options: Mapping[str, str]) -> Any:
    try:
        container = av.open(f"file:{path}", options=dict(options), metadata_errors="replace", timeout=OPEN_TIMEOUT_S)
    except av.ArgumentError as error:
        raise MediaError("decode_failed", f"cannot open {Path(path).name}: {NOT_OPENED}") from error
    if container.metadata.get("major_brand") in PICTURE_BRANDS:
        container.close()
        raise MediaError("decode_failed", f"cannot open {Path(path).name}: {NOT_OPENED}")
    return container


def probe_media(path: str | Path, language: str | None = None) -> MediaInfo:
    """Read a media file's header.

    Args:
        path: the file.
        language: the original language of the sound, where it is known.

    Returns:
        Duration in ms (measured by reading all packets where the header does not tell), the first picture that is no
        cover, and the chosen sound track.

    Raises:
        MediaError: "media_missing", or "decode_failed" for what is no media file.
    """
    with open_media(path) as container:
        pictures = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not container.streams.video and not container.streams.audio:
            raise MediaError("decode_failed", f"no video and no audio stream in {Path(path).name}")
        picture = next(iter(pictures), None)
        original = base_language(language)
        sounds = container.streams.audio
        spoken = [sound.index for sound in sounds if original and base_language(sound.language) == original]
        track = choose_track(sounds, spoken)
        sound = None if track is None else container.streams[track]
        return MediaInfo(
            duration_ms=_duration_ms(container, Path(path)),
            width=(picture and picture.width) or None,
            height=(picture and picture.height) or None,
            fps=round(float(picture.average_rate), 2) if picture and picture.average_rate else None,
            video_codec=_codec_name(picture),
            audio_codec=_codec_name(sound),
            audio_track=track if len(sounds) > 1 else None,
        )


def probe_sound(path: str | Path, audio_track: int | None = None) -> tuple[int, int, int]:
    """The sound track that is heard, and where it begins and ends, in ms from the container's start.

    Args:
        path: the media file.
        audio_track: index of the stream; chosen by the one rule when not given.

    Raises:
        MediaError: "media_missing", "no_audio", or "decode_failed" for what is no media file.
    """
    with open_media(path) as container:
        track = choose_track(container.streams.audio, wanted=audio_track)
        if track is None:
            raise MediaError("no_audio", f"no audio stream in {Path(path).name}")
        stream = container.streams[track]
        tick_ms = 1000 * stream.time_base
        origin_ms = Fraction(container.start_time or 0, 1000)
        start_ms = 0 if stream.start_time is None else max(0, round(stream.start_time * tick_ms - origin_ms))
        if not stream.duration or restarts_of(container, read_packets):
            return track, start_ms, max(start_ms, _duration_ms(container, Path(path)))
        return track, start_ms, start_ms + int(stream.duration * tick_ms)


def sound_frames(container: Any, track: int, start_ms: int, end_ms: int | None) -> Iterator[Any]:
    """Decoded frames of a sound track from a little before `start_ms` on; their pts count from there.

    What cannot be decoded is passed over: its time stays empty.
    """
    stream = container.streams[track]
    stream.codec_context.thread_count = 1
    split = 1000 if stream.time_base > Fraction(1, 1000) else 1  # a cut lies within a tick as long as a packet (AVI)
    ticks_per_ms = split / (1000 * stream.time_base)
    origin_ms = Fraction(container.start_time or 0, 1000)
    shift = round((origin_ms + start_ms) * ticks_per_ms)
    first = shift - round(SEEK_BACK_MS * ticks_per_ms)
    end = None if end_ms is None else round((end_ms - start_ms) * ticks_per_ms)
    restarts = restarts_of(container, read_packets)
    is_sought = start_ms > SEEK_BACK_MS and restarts is None and not is_counted(container, stream)
    packets = _sought_packets(container, stream, start_ms) if is_sought else _packets(container, stream)
    for packet in packets if restarts is None else restarts.apply(packets):
        is_before = is_sought and packet.pts is not None and packet.pts * split < first
        try:
            frames = [] if is_before else packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None:
                frame.pts, frame.time_base = frame.pts * split - shift, stream.time_base / split
            is_past = end is not None and frame.pts is not None and frame.pts >= end
            yield frame
            if is_past:
                return


def make_graph(filters: list[str]) -> Any:
    """A filter graph of these filters, each linked to the next.

    Raises:
        MediaError: decode_failed, and what it is that cannot be filtered: a file may change to it in its middle.
    """
    graph = av.filter.Graph()
    graph.threads = 1
    try:
        nodes = [graph.add(*filter_.split("=", 1)) for filter_ in filters]
        graph.link_nodes(*nodes).configure()
    except av.FFmpegError as error:
        kind = filters[0].partition("=")[2].replace(":", ", ")
        raise MediaError("decode_failed", f"what comes as {kind} cannot be filtered: {error.strerror}") from error
    return graph


def read_packets(path: str, near_us: int | None = None) -> Iterator[Any]:
    """All packets of a file, as far as it can be read, or those from a key frame before a time on."""
    with open_media(path) as container:
        if near_us is not None:
            with suppress(av.FFmpegError):
                container.seek(near_us)
        yield from _packets(container)


def _packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Until the end of the file, or where it breaks off."""
    with suppress(av.FFmpegError, IndexError):  # at the end PyAV 18 looks for streams that appeared while it read
        yield from container.demux(*streams)


def _sought_packets(container: Any, stream: Any, start_ms: int) -> Iterator[Any]:
    """Packets of a sound track from `SEEK_BACK_MS` before a time on; all of them where the file finds only later ones.

    An index may lack its beginning: that of Matroska holds no times below 0.
    """
    cut_us = (container.start_time or 0) + 1000 * start_ms
    with suppress(av.FFmpegError):
        container.seek(cut_us - 1000 * SEEK_BACK_MS)
        packets = _packets(container, stream)
        first = next(packets, None)
        if first is not None and first.size and (first.pts or 0) * stream.time_base * 1_000_000 <= cut_us:
            yield first
            yield from packets
            return
    with open_media(container.name.removeprefix("file:")) as again:
        for packet in _packets(again, again.streams[stream.index]):
            packet.stream = stream
            yield packet


def announced_ms(container: Any) -> float | None:
    """How long picture and sound of an open file last, as far as it says so."""
    if restarts := restarts_of(container, read_packets):
        return 1000 * restarts.length_s
    announced_us = duration_us(container, read_packets)
    return announced_us / 1000 if announced_us else None


def _duration_ms(container: Any, path: Path) -> int:
    announced = announced_ms(container)
    if announced is not None:
        return round(announced)
    end_us = last_end_us(_packets(container))
    if end_us is None:
        raise MediaError("decode_failed", f"no duration in {path.name}")
    start_ms: int = (container.start_time or 0) // 1000
    return round(end_us / 1000) - start_ms


def _codec_name(stream: Any) -> str | None:
    if stream is None or stream.codec_context is None:
        return None
    name: str = stream.codec_context.codec.canonical_name
    return name
