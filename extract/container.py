"""What a media file says of itself, its chosen sound track, and the frames of that track.

Whatever a file says is a number with a unit, never text to be searched.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from datasets.media.container import MediaFault, demux, open_media, read_packets
from datasets.media.durations import MOST_OFF_US, duration_us, is_bare_sound, last_end_us
from datasets.media.restarts import MOST_GUESSED_S, restarts_of
from datasets.media.tracks import choose_picture, choose_sound, is_counted
from datasets.media.waveforms import may_be_late
from datasets.outcomes import MediaError
from extract.language import base_language

SEEK_BACK_MS = 200
"""Seek this much before a range: decoders of sound need what precedes."""


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
        if not container.streams.video and not container.streams.audio:
            raise MediaError("decode_failed", f"no video and no audio stream in {Path(path).name}")
        picture = choose_picture(container)
        original = base_language(language)
        sounds = container.streams.audio
        spoken = [sound.index for sound in sounds if original and base_language(sound.language) == original]
        sound = choose_sound(container, spoken)
        return MediaInfo(
            duration_ms=_duration_ms(container, Path(path)),
            width=(picture and picture.width) or None,
            height=(picture and picture.height) or None,
            fps=round(float(picture.average_rate), 2) if picture and picture.average_rate else None,
            video_codec=_codec_name(picture),
            audio_codec=_codec_name(sound),
            audio_track=sound.index if sound and len(sounds) > 1 else None,
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
        stream = choose_sound(container, wanted=audio_track)
        if stream is None:
            raise MediaError("no_audio", f"no audio stream in {Path(path).name}")
        tick_ms = 1000 * stream.time_base
        origin_ms = Fraction(container.start_time or 0, 1000)
        start_ms = 0 if stream.start_time is None else max(0, round(stream.start_time * tick_ms - origin_ms))
        length_ms = _duration_ms(container, Path(path))
        if is_bare_sound(container) or restarts_of(container):
            return stream.index, start_ms, max(start_ms, length_ms)
        if stream.duration:
            return stream.index, start_ms, min(start_ms + int(stream.duration * tick_ms), length_ms)
        # Matroska and FLV say no more than how long the longest track is.
        packets = (packet for packet in read_packets(str(path)) if packet.stream.index == stream.index)
        end_ms = ((last_end_us(packets) or 0) - (container.start_time or 0)) // 1000
        is_shorter = end_ms < length_ms - MOST_OFF_US // 1000
        return stream.index, start_ms, max(start_ms, end_ms if is_shorter else length_ms)


def sound_frames(container: Any, stream: Any, start_ms: int, end_ms: int | None) -> Iterator[Any]:
    """Decoded frames of a sound track from a little before `start_ms` on; their pts count from there.

    What cannot be decoded is passed over: its time stays empty.
    """
    stream.codec_context.thread_count = 1
    split = 1000 if stream.time_base > Fraction(1, 1000) else 1  # a cut lies within a tick as long as a packet (AVI)
    ticks_per_ms = split / (1000 * stream.time_base)
    origin_ms = Fraction(container.start_time or 0, 1000)
    shift = round((origin_ms + start_ms) * ticks_per_ms)
    first = shift - round(SEEK_BACK_MS * ticks_per_ms)
    end = None if end_ms is None else round((end_ms - start_ms) * ticks_per_ms)
    restarts = restarts_of(container)
    is_sought = start_ms > SEEK_BACK_MS and restarts is None and not is_counted(stream)
    packets = _sought_packets(container, stream, start_ms) if is_sought else _packets(container, stream)
    for packet in packets if restarts is None else restarts.apply(packets):
        is_before = is_sought and packet.pts is not None and (packet.pts + (packet.duration or 0)) * split <= first
        try:
            frames = [] if is_before else packet.decode()
        except MediaFault:
            continue
        for frame in frames:
            if frame.pts is not None:
                frame.pts, frame.time_base = frame.pts * split - shift, stream.time_base / split
            late = round(1000 * MOST_GUESSED_S * ticks_per_ms) if may_be_late(frame, float(stream.time_base)) else 0
            is_past = end is not None and frame.pts is not None and frame.pts >= end + late
            yield frame
            if is_past:
                return


def _packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Until the end of the file, or where it breaks off."""
    with suppress(MediaFault):
        yield from demux(container, *streams)


def _sought_packets(container: Any, stream: Any, start_ms: int) -> Iterator[Any]:
    """Packets of a sound track from `SEEK_BACK_MS` before a time on; all of them where the file finds only later ones.

    An index may lack its beginning: that of Matroska holds no times below 0.
    """
    cut_us = (container.start_time or 0) + 1000 * start_ms
    with suppress(MediaFault):
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
    if restarts := restarts_of(container):
        return 1000 * restarts.length_s
    announced_us = duration_us(container)
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
