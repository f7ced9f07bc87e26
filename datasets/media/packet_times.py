"""When packets begin, where libavformat guesses it and they or their container know better."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from datasets.media.avi_chunks import CHUNK_HEAD

_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350, 0, 0, 0)
_REORDERED = frozenset({"h264", "hevc"})
"""Codecs of which program streams do not tell each picture's time."""


def timed(container: Any, packets: Iterable[Any]) -> Iterator[Any]:
    """Packets of an open file, from wherever it is read on, at their times; of bare AAC from its beginning on."""
    match container.format.name:
        case "aac":
            return _counted(packets)
        case "mpegts":
            return _unguessed(packets)
        case "avi":
            return _indexed(packets)
        case "mxf":
            return _unordered(packets)
        case "mpeg":
            return _without_first_time(packets)
    return iter(packets)


def _counted(packets: Iterable[Any]) -> Iterator[Any]:
    """Bare AAC, of which libavformat counts all packets by the first one's rate."""
    end = 0
    for packet in packets:
        if packet.size:
            packet.pts = packet.dts = end
            packet.duration = _ticks_of_aac(packet) or packet.duration
            end += packet.duration
        yield packet


def _unguessed(packets: Iterable[Any]) -> Iterator[Any]:
    """MPEG-TS, which tells one time for several frames of sound: libavformat counts AAC by the rate it had at first."""
    off: defaultdict[int, int] = defaultdict(int)
    for packet in packets:
        index = packet.stream_index
        if packet.pos is not None:  # a time of the file's own
            off[index] = 0
        if off[index] and packet.pts is not None:
            packet.pts = packet.dts = packet.pts + off[index]
        if packet.size and packet.stream.codec_context is not None and packet.stream.codec_context.name == "aac":
            ticks = _ticks_of_aac(packet)
            if ticks and abs(ticks - packet.duration) > 1:
                off[index] += ticks - packet.duration
                packet.duration = ticks
        yield packet


def _indexed(packets: Iterable[Any]) -> Iterator[Any]:
    """AVI, of which libavformat counts the packets that it finds: behind damage the index says how many are lost."""
    lost: defaultdict[int, int] = defaultdict(int)
    places: defaultdict[int, int] = defaultdict(int)
    units: defaultdict[int, int] = defaultdict(int)
    for packet in packets:
        index, entries = packet.stream_index, packet.stream.index_entries
        if packet.dts is not None and packet.pos is not None:
            chunk = packet.pos - CHUNK_HEAD
            at = places[index] + 1  # nearly always the next one, found without a search
            if at >= len(entries) or entries[at].pos != chunk:
                at = bisect_left(entries, chunk, key=lambda entry: entry.pos)
            places[index] = at
            if at < len(entries) and entries[at].pos == chunk:
                units[index] = units[index] or _unit(entries, entries[at].timestamp, packet.dts)
                lost[index] = max(0, entries[at].timestamp // units[index] - packet.dts) if units[index] else 0
        if lost[index] and packet.dts is not None:
            packet.dts += lost[index]
            packet.pts = None if packet.pts is None else packet.pts + lost[index]
        yield packet


def _unit(entries: Sequence[Any], time: int, dts: int) -> int:
    """What the index of an AVI counts in a tick: of sound maybe the bytes of a block; 0 where it is not yet known."""
    if len(entries) < 2 or entries[1].timestamp - entries[0].timestamp != entries[0].size:
        return 1
    return max(1, time // dts) if dts > 0 else 0


def _unordered(packets: Iterable[Any]) -> Iterator[Any]:
    """MXF, whose index may not say in which order pictures are shown: then when they are decoded, as in AVI."""
    is_unordered = False
    for packet in packets:
        if packet.stream.type == "video" and packet.dts is not None:
            if packet.is_keyframe:
                is_unordered = packet.pts == packet.dts and packet.stream.codec_context.has_b_frames
            packet.pts = None if is_unordered else packet.pts
        yield packet


def _without_first_time(packets: Iterable[Any]) -> Iterator[Any]:
    """Program streams, where the time of a pack is that of the first picture that begins in it.

    To libavformat the first one after a seek is that, though it may have begun before.
    """
    is_first = True
    for packet in packets:
        if packet.stream.type == "video" and is_first:
            is_first = False
            if packet.pts != packet.stream.start_time and packet.stream.codec_context.name in _REORDERED:
                packet.pts = packet.dts = None
        yield packet


def _ticks_of_aac(packet: Any) -> int:
    """How long a packet of AAC lasts by its own header; 0 where it has none."""
    head = bytes(memoryview(packet)[:7])
    rate = _ADTS_RATES[head[2] >> 2 & 15] if len(head) == 7 and head[0] == 255 and head[1] >= 240 else 0
    return round(1024 * (1 + (head[6] & 3)) / (rate * packet.time_base)) if rate else 0
