"""How long the pictures and the sound of a file last, whatever its header says of subtitles beside them.

Matroska announces one duration, that of its longest track, counted from time 0 even where the file starts before it,
and often where it starts after it; so do FLV, Opus in Ogg and fragments of mp4 whose first ones are not there.
It and FLV's is a number that somebody wrote, maybe before all was recorded: the file may go on.
Of ASF each stream has the whole file's duration, which libavformat counts from where the stream begins. Bare sound
announces none: libavformat reckons it from the size of the first frames, in which somebody may be silent.
"""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from datasets.media.container import identify, read_packets

_BESIDE = frozenset({"subtitle", "data"})
_WRITTEN = frozenset({"matroska,webm", "flv"})
_FROM_ZERO = ("matroska", "mov", "flv", "ogg")
_BARE = frozenset({"aac", "ac3", "amr", "eac3", "mp3"})
MOST_OFF_US = 1_000_000
"""What is reckoned or said so stands unless it is off by more."""


def duration_us(container: Any) -> int | None:
    """Microseconds from the container's start to the end of picture and sound; None where nothing is announced.

    Args:
        container: an open media file, in which nothing is moved.
    """
    announced: int | None = container.duration if (container.duration or 0) > 0 else None
    if announced is not None and container.format.name == "asf":
        longest_us = max(int(1_000_000 * (stream.duration or 0) * stream.time_base) for stream in container.streams)
        announced = longest_us if 0 < longest_us < announced - MOST_OFF_US else announced
    start_us = container.start_time or 0
    is_early = start_us < 0 and container.format.name.startswith("matroska")
    is_bare = is_bare_sound(container)
    is_believed = not (is_early or is_bare or any(stream.type in _BESIDE for stream in container.streams))
    is_displaced = start_us > MOST_OFF_US and container.format.name.startswith(_FROM_ZERO)
    if announced is None or (is_believed and not is_displaced and container.format.name not in _WRITTEN):
        return announced
    end_us = _find_end_us(None if is_bare else start_us + announced, *identify(container))
    if end_us is None:
        return announced
    length_us = end_us - start_us
    if is_believed and is_displaced:
        return max(length_us, announced - start_us)
    # A file that breaks off before its announced end has not become a shorter one.
    if length_us <= announced + MOST_OFF_US if is_believed else is_bare and abs(length_us - announced) <= MOST_OFF_US:
        return announced
    # The head of an mp3, which says how much the encoder put before, is right where the file is cut short.
    return max(announced, length_us) if is_bare and start_us else length_us


def is_bare_sound(container: Any) -> bool:
    """Whether an open file holds frames of sound and no more, so that only they tell how long it is."""
    return container.format.name in _BARE


def last_end_us(packets: Iterable[Any]) -> int | None:
    """Where the last of these packets of picture and sound ends that are shown; None without any.

    A packet without time, as all of a bare stream of pictures, follows the one before it.
    """
    ends: dict[int, Fraction] = {}
    for packet in packets:
        if packet.stream.type in _BESIDE or packet.is_discard or not packet.size:
            continue
        known, time = ends.get(packet.stream.index), packet.dts if packet.pts is None else packet.pts
        start_s = known or Fraction(0) if time is None else time * packet.time_base
        end_s = start_s + (packet.duration or 0) * packet.time_base
        ends[packet.stream.index] = end_s if known is None else max(known, end_s)
    return round(1_000_000 * max(ends.values())) if ends else None


@lru_cache(maxsize=256)
def _find_end_us(announced_us: int | None, path: str, _size: int, _changed: int) -> int | None:
    end_us = last_end_us(read_packets(path, announced_us))
    return last_end_us(read_packets(path, None)) if end_us is None else end_us
