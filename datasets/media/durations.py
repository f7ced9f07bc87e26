"""How long the pictures and the sound of a file last, whatever its header says of subtitles beside them.

Matroska announces one duration, that of its longest track, counted from time 0 even where the file starts before it.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from datasets.media.container import identify, read_packets

_BESIDE = frozenset({"subtitle", "data"})


def duration_us(container: Any) -> int | None:
    """Microseconds from the container's start to the end of picture and sound; None where nothing is announced.

    Args:
        container: an open media file, in which nothing is moved.
    """
    announced: int | None = container.duration
    start_us = container.start_time or 0
    is_early = start_us < 0 and container.format.name.startswith("matroska")
    if announced is None or not (is_early or any(stream.type in _BESIDE for stream in container.streams)):
        return announced
    end_us = _find_end_us(start_us + announced, *identify(container))
    return announced if end_us is None else end_us - start_us


def last_end_us(packets: Iterable[Any]) -> int | None:
    """Where the last of these packets of picture and sound ends; None without any."""
    ends = (
        (packet.pts + (packet.duration or 0)) * packet.time_base
        for packet in packets
        if packet.pts is not None and packet.stream.type not in _BESIDE
    )
    end_s = max(ends, default=None)
    return None if end_s is None else round(1_000_000 * end_s)


@lru_cache(maxsize=256)
def _find_end_us(announced_us: int, path: str, _size: int, _changed: int) -> int | None:
    end_us = last_end_us(read_packets(path, announced_us))
    return last_end_us(read_packets(path, None)) if end_us is None else end_us
