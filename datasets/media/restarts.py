"""Clocks that start anew in the middle of a file: recordings put one behind another, and clocks of 33 bits that wrap.

MPEG streams and Ogg are cut and joined as bytes, and nothing in them says so but times that jump. Here a file's packets
are read once, and each stretch of one clock is laid behind the one before it, for all streams alike.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import permutations
from typing import Any

from datasets.media.container import identify, links_of, read_packets

RESTARTING = frozenset({"mpegts", "mpeg"})
"""Of libavformat: those whose times may start anew, beside chains of Ogg."""
LEAST_BACK_S = 0.1
"""A stream whose times go back by more has another clock, as for ffmpeg."""
LEAST_FORWARD_S = 3600.0
"""One whose times go on by more too; by less, something is missing."""
CONFIRMING = 8
"""So many packets must follow the other clock: a single damaged time is none."""
LEAST_CONFIRMING = 3
"""Where the file ends there."""
MOST_GUESSED_S = 2.0
"""Of sound that comes to another rate libavformat guesses times by the old one, too late, and goes back with each
packet of the stream by no more."""
MOST_APART_S = 2.0
"""Packets of one stretch that lie side by side are no further apart: a stream that is comes to another stretch."""
MOST_FRAMES = 64
"""Of sound in a packet of the stream."""


@dataclass(frozen=True)
class Restarts:
    """What to add to the times of a file's packets."""

    shifts: Mapping[int, tuple[tuple[int, Fraction], ...]]
    """By index of the stream: from which of its packets on, so many seconds."""
    length_s: float
    """Of all stretches."""
    is_handed_on: bool
    """Whether a track begins where another of its kind has ended: libavformat may not see the last one's end."""

    def apply(self, packets: Iterable[Any]) -> Iterator[Any]:
        """Packets from the file's beginning on, at their times."""
        counts: Counter[int] = Counter()
        for packet in packets:
            index, number = packet.stream.index, counts[packet.stream.index]
            counts[index] += bool(packet.size)
            shift = [seconds for first, seconds in self.shifts.get(index, ()) if first <= number]
            if shift and packet.dts is not None:
                packet.dts += round(shift[-1] / packet.time_base)
            if shift and packet.pts is not None:
                packet.pts += round(shift[-1] / packet.time_base)
            yield packet


def restarts_of(container: Any) -> Restarts | None:
    """What to add to the times of an open file; None where its clock goes on to the end it announces, as nearly always.

    Args:
        container: an open media file, in which nothing is moved.
    """
    if container.format.name not in RESTARTING and len(links_of(container)) < 2:
        return None
    found = _find_restarts(*identify(container))
    is_short = found.is_handed_on and (container.duration or 0) < 1_000_000 * found.length_s
    return found if found.shifts or is_short else None


class _Stretch:
    """The packets of one clock."""

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        """By stream, the number of its first packet."""
        self.start_s, self.end_s = float("inf"), float("-inf")
        self.num_of_older = 0
        """Packets of an older clock that come among its own."""


@lru_cache(maxsize=256)
def _find_restarts(path: str, _size: int, _changed: int) -> Restarts:
    times: dict[int, array[float]] = {}  # dts by stream; arrays, since a recording of hours has millions of packets
    indices, starts, ends = array("h"), array("d"), array("d")
    kinds: dict[int, str] = {}
    for packet in read_packets(path):
        dts = packet.pts if packet.dts is None else packet.dts
        if packet.size and packet.stream.type in ("video", "audio"):
            tick_s = float(packet.time_base)
            known = times.setdefault(packet.stream.index, array("d"))
            known.append(dts * tick_s if dts is not None else known[-1] if known else 0.0)
            indices.append(packet.stream.index)
            kinds[packet.stream.index] = packet.stream.type
            start_s = known[-1] if packet.pts is None else packet.pts * tick_s
            is_priming = -LEAST_BACK_S < start_s < 0  # of a link of Ogg
            starts.append(0.0 if is_priming else start_s)
            ends.append(start_s + (packet.duration or 0) * tick_s)
    stretches = _stretches(zip(indices, starts, ends, strict=True), times)
    shifts: dict[int, list[tuple[int, Fraction]]] = {}
    end_s = stretches[0].end_s
    for stretch in stretches[1:]:
        for index, first in stretch.first.items():
            shifts.setdefault(index, []).append((first, Fraction(end_s - stretch.start_s)))
        end_s += stretch.end_s - stretch.start_s
    is_handed_on = any(kinds[a] == kinds[b] and _follows(times[b][0], times[a][-1]) for a, b in permutations(times, 2))
    length_s = end_s - stretches[0].start_s
    return Restarts({index: tuple(found) for index, found in shifts.items()}, length_s, is_handed_on)


def _stretches(packets: Iterable[tuple[int, float, float]], times: Mapping[int, Sequence[float]]) -> list[_Stretch]:
    """The stretches of a file, of whose packets the stream, the start and the end in seconds are known."""
    stretches = [_Stretch()]
    current: dict[int, int] = {}
    last_s: dict[int, float] = {}
    guessed: dict[int, int] = {}  # by stream, its last packet behind guessed times
    counts: Counter[int] = Counter()
    for index, start_s, end_s in packets:
        number = counts[index]
        dts_s = times[index][number]
        counts[index] += 1
        at = current.setdefault(index, len(stretches) - 1)
        newest = stretches[-1]
        before_s = last_s.get(index, newest.end_s)
        # A stream that is new in the file may come at any time that is not long past, and slides when they are read.
        is_late = dts_s < before_s - MOST_APART_S and _is_dense(times[index], number)
        if not _follows(dts_s, before_s) if number else is_late:
            is_within = stretches[at].start_s + LEAST_BACK_S < dts_s < before_s < dts_s + MOST_GUESSED_S
            # A slide comes to a clock that the sound has confirmed.
            is_known = at < len(stretches) - 1 and newest.start_s - 1 <= dts_s <= newest.end_s + MOST_APART_S
            num_wanted = MOST_FRAMES if is_within else 1 if is_known else LEAST_CONFIRMING
            ahead = times[index][number : number + (num_wanted if is_known else max(num_wanted, CONFIRMING))]
            is_still = is_within and number - guessed.get(index, -MOST_FRAMES) < MOST_FRAMES
            if is_still or len(ahead) < num_wanted or not all(map(_follows, ahead[1:], ahead[:-1])):
                last_s[index] = dts_s if is_within else before_s
                guessed[index] = number if is_within else -MOST_FRAMES
                continue  # a damaged time, or a guessed one
            is_apart = not _follows(dts_s, newest.start_s - 1)
            if _is_dense(times[index], number):
                is_apart = abs(dts_s - newest.end_s) > MOST_APART_S
            if at == len(stretches) - 1 or is_apart:
                stretches.append(_Stretch())
            at = current[index] = len(stretches) - 1
        last_s[index] = dts_s
        newest = stretches[-1]
        newest.num_of_older += at < len(stretches) - 1
        stretch = stretches[at]
        stretch.first.setdefault(index, number)
        stretch.start_s, stretch.end_s = min(stretch.start_s, start_s), max(stretch.end_s, end_s)
    return list(_joined(stretches))


def _joined(stretches: Iterable[_Stretch]) -> Iterator[_Stretch]:
    """The stretches, without those of one stream while others go on as before: what it has there is stored twice."""
    kept: _Stretch | None = None
    for stretch in stretches:
        if kept is not None and stretch.num_of_older > CONFIRMING:
            kept.start_s, kept.end_s = min(kept.start_s, stretch.start_s), max(kept.end_s, stretch.end_s)
            continue
        if kept is not None:
            yield kept
        kept = stretch
    if kept is not None:
        yield kept


def _is_dense(times_s: Sequence[float], number: int) -> bool:
    """Whether the next packet follows soon: of slides, MPEG-TS gives one only when it has found the next."""
    return number + 1 < len(times_s) and 0 <= times_s[number + 1] - times_s[number] < MOST_APART_S / 2


def _follows(time_s: float, before_s: float) -> bool:
    return -LEAST_BACK_S <= time_s - before_s <= LEAST_FORWARD_S
