"""What the names in a list's entries mean: the video, a clip's times, its split. All others are named as ignored."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from datasets.numbers import describe
from datasets.suggestions import did_you_mean
from extract.lists.names import holds_times, is_timelike, role_of, squeeze
from extract.lists.times import read_time
from extract.lists.videos import video_named, youtube_id

# VGGSound and AudioCaps name the start only, since all their clips last ten seconds.
_ALL_TEN_SECONDS_MS = 10_000
THE_KEY = "the key"
# AudioSet-strong: the video, and the millisecond at which its ten seconds begin, from which its times are counted.
_SEGMENT = re.compile(r"(?P<video>[A-Za-z0-9_-]{11})_(?P<start_ms>[0-9]{1,8})")
# QVHighlights: what its clips hold that a query asks for.
_WINDOWS = "relevantwindows"
# WavCaps' sounds of FreeSound, BBC and SoundBible, WebVid's films: their numbers look like ids of videos.
_DOWNLOADS = frozenset({"downloadlink", "contenturl"})
_MOST_SHOWN = 4
_MOST_CHARS = 1_000_000
_LABELS = frozenset({"label", "labels", "class"})


@dataclass(frozen=True)
class Entry:
    """One thing that a list names: a clip [start_ms, end_ms), not yet checked; or a video, without times."""

    video_id: str
    start_ms: int | None = None
    end_ms: int | None = None
    split: Any = None
    is_bare: bool = False
    """A video that stands among others with clips and has an empty list of them."""
    more: Mapping[Any, Any] = field(default_factory=dict)
    """All that the entry says."""

    number: int = 0
    """Place among the clips of an entry."""

    def moved(self, by_ms: int) -> "Entry":
        """The same, later."""
        start_ms, end_ms = (None if time is None else time + by_ms for time in (self.start_ms, self.end_ms))
        return replace(self, start_ms=start_ms, end_ms=end_ms)


class _Found(NamedTuple):
    name: str
    value: Any
    rank: int
    """For a time the milliseconds of its unit, for a video the place among its names."""


def _says_another(role: str, known: _Found, new: _Found) -> bool:
    """Whether two names of one role say times, or one name written twice videos, of which only one could be taken."""
    if role == "video":
        return new.rank == known.rank and new.value != known.value
    if role == "clips":
        return holds_times(new.value) and new.value != known.value
    with suppress(ValueError):  # what is no time is refused where it is read
        if role in ("start", "end"):
            return abs(read_time(new.value, new.rank) - read_time(known.value, known.rank)) >= 1000
    return False


def listed(value: Any) -> list[Any] | None:
    """The list that a cell of a table holds as text, in Python's words (Panda-70M) or JSON's; None for all else."""
    if not isinstance(value, str) or not value.lstrip().startswith("[") or len(value) > _MOST_CHARS:
        return None
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = read(value.strip())
            return found if isinstance(found, list) else None
    return None


def check_column(wanted: str | None, names: Iterable[str]) -> None:
    """Raise ValueError where the column that somebody named is not among those there are."""
    had = [name[:40] for name in names]
    if wanted is not None and wanted not in had:
        raise ValueError(f"has no column {wanted!r}, but {', '.join(had)[:200]}{did_you_mean(wanted, had)}")


class EntryReader:
    """Reads entries, and remembers which names it took and which it left."""

    def __init__(self, video_column: str | None = None) -> None:
        self.video_column = video_column
        """The name that says which video, where somebody said so."""
        self.seen: dict[str, None] = {}
        self._taken: dict[str, dict[str, None]] = {}
        self._used: set[str] = set()

    @property
    def taken(self) -> dict[str, str]:
        """What was understood (video, times, split) to the names under which it stood, in words."""
        return {role: " or ".join(list(names)[:_MOST_SHOWN]) for role, names in self._taken.items()}

    @property
    def ignored(self) -> list[str]:
        """Names that were not used."""
        return [name for name in self.seen if name not in self._used]

    def _take(self, role: str, *names: str, within: Sequence[str] = (), words: str = "") -> None:
        """Remember names that say something, with those in which they lie, the innermost first."""
        said = " and ".join(filter(None, [*names, words]))
        self._taken.setdefault(role, {})[" in ".join([said, *within])] = None
        self._used.update(names, within)

    def read(self, item: Mapping[Any, Any], key: Any = None, split: Any = None) -> Iterator[Entry]:
        """The clips of an entry, or its video without times.

        Args:
            item: names and values; times may be lists, and clips may lie in it as entries of their own.
            key: under which it stands in an object of videos.
            split: of what it lies in.

        Raises:
            ValueError: no video, not both times, or times under names that are not understood.
        """
        found = self._find_roles(item)
        segment = None if key is not None or found.keys() & {"video", "address"} else found.get("segment")
        named = _SEGMENT.fullmatch(str(segment.value).strip()) if segment else None
        if segment and named:
            self._take("video", segment.name)
            video_id, span, origin_ms = named["video"], None, int(named["start_ms"])
        else:
            (video_id, span), origin_ms = self._find_video(found, key, item), 0
        if "split" in found:
            split = found["split"].value
            self._take("split", found["split"].name)
        outer = Entry(video_id, split=split, more=item)
        if found.keys() & {"start", "end", "clips"}:
            for number, clip in enumerate(self._read_clips(found, outer, item)):
                if span is not None and span[0] and (clip.start_ms, clip.end_ms) != span:
                    raise ValueError(f"has times in its name and others beside it, from where counted: {video_id}")
                yield replace(clip.moved(origin_ms), number=number)
        elif span is not None:
            yield from self._read_windows(span, outer, item)
        elif unknown := [str(name)[:40] for name, v in item.items() if is_timelike(str(name)) or holds_times(v)]:
            raise ValueError(f"has times that are not understood: {', '.join(unknown)[:200]}")
        else:
            yield outer

    def _find_roles(self, item: Mapping[Any, Any]) -> dict[str, _Found]:
        found: dict[str, _Found] = {}
        for name, value in item.items():
            self.seen[str(name)] = None
            role, rank = role_of(str(name)) or (None, 0)
            if self.video_column is not None:
                role = "video" if name == self.video_column else None if role in ("video", "address") else role
            if not role or value is None or value == "":
                continue
            new = _Found(str(name), value, rank)
            if role in found and _says_another(role, found[role], new):
                said = "videos" if role == "video" else "times"
                raise ValueError(f"has {found[role].name[:40]} and {name[:40]}, which say different {said}")
            if role not in found or rank < found[role].rank:
                found[role] = new
        return found

    def _find_video(
        self, found: Mapping[str, _Found], key: Any, item: Mapping[Any, Any]
    ) -> tuple[str, tuple[int, int] | None]:
        """What can only be a video of YouTube says it best; else a column, and at last the key, as it stands.

        The key may look like an id by chance (sample_0001, a class): a video or an address beside it says it better.
        """
        column, address = found.get("video"), found.get("address")
        if any(squeeze(str(name)) in _DOWNLOADS for name in item):
            told = describe(column.value if column else key)
            raise ValueError(f"names a file of another site, with its address, and no video: {told}")
        places = [(place.name, place.value) for place in (column, address) if place]
        if key is not None:
            places.insert(0, (THE_KEY, key))
        named = [(name, known) for name, value in places if (known := youtube_id(value))]
        if named:
            others = [other for other in named[1:] if other[1][0] != named[0][1][0] and squeeze(other[0]) != "id"]
            name, known = others[0] if others and named[0][0] == THE_KEY else named[0]
            self._take("video", name)
            return known
        name, value = (column.name, column.value) if column else (THE_KEY, key)
        if value is None and address is not None:
            raise ValueError(f"{address.name} is the address of no video that is known: {describe(address.value)}")
        if value is None:
            check_column(self.video_column, map(str, item))
            had = ", ".join(str(name)[:40] for name in item)[:200]
            raise ValueError(f"names no video; it has {had} (`curate --column NAME` says which)")
        self._take("video", name)
        return video_named(value)

    def _read_clips(
        self, found: Mapping[str, _Found], outer: Entry, item: Mapping[Any, Any], within: tuple[str, ...] = ()
    ) -> Iterator[Entry]:
        start, end, clips = (found.get(role) for role in ("start", "end", "clips"))
        names = {squeeze(str(name)) for name in item}
        if clips and (isinstance(clips.value, Mapping | list | tuple) or not (start or end)):
            if "numsegments" in names:  # DiDeMo
                raise ValueError(f"has {clips.name} that count pieces of the video, not seconds")
            yield from self._read_inner(clips.value, outer, (clips.name, *within))
        elif start and end:
            self._take("times", start.name, end.name, within=within)
            starts, ends = start.value, end.value
            if not isinstance(starts, list | tuple) or not isinstance(ends, list | tuple):
                starts, ends = [starts], [ends]
            if len(starts) != len(ends):
                raise ValueError(f"has {len(starts)} starts and {len(ends)} ends")
            if not starts:
                yield replace(outer, is_bare=True)
            for start_time, end_time in zip(starts, ends, strict=True):
                start_ms, end_ms = read_time(start_time, start.rank), read_time(end_time, end.rank)
                yield replace(outer, start_ms=start_ms, end_ms=end_ms)
        elif start and ("audiocapid" in names or ("split" in found and names & _LABELS and len(names) == 4)):
            self._take("times", start.name, within=within, words="ten seconds each")
            start_ms = read_time(start.value, start.rank)
            yield replace(outer, start_ms=start_ms, end_ms=start_ms + _ALL_TEN_SECONDS_MS)
        else:
            there, lacks = (start, "end") if start else (end, "start")
            raise ValueError(f"has {there.name if there else ''} but no {lacks} that is understood")

    def _read_windows(self, span: tuple[int, int], outer: Entry, item: Mapping[Any, Any]) -> Iterator[Entry]:
        """The clip that a name such as ID_60.0_210.0 holds, or the windows in it, counted from its start."""
        name = next((str(name) for name in item if squeeze(str(name)) == _WINDOWS), None)
        if name is None:
            yield replace(outer, start_ms=span[0], end_ms=span[1])
            return
        for clip in self._read_inner(item[name], outer, (name,)):
            if (clip.end_ms or 0) > span[1] - span[0]:
                raise ValueError(f"has {name} beyond the {(span[1] - span[0]) / 1000:g} seconds of {outer.video_id}")
            yield clip.moved(span[0])

    def _read_inner(self, value: Any, outer: Entry, within: tuple[str, ...]) -> Iterator[Entry]:
        """Clips that lie in a video's entry: [start, end], "start-end", entries with times, or lists of these."""
        if (written := listed(value)) is not None:
            value = written
        if isinstance(value, Mapping):
            found = self._find_roles(value)
            if not found.keys() & {"start", "end", "clips"}:
                raise ValueError(f"has a clip without times: {', '.join(str(name)[:40] for name in value)[:200]}")
            places = (found[role] for role in ("video", "address") if role in found)
            named = [known[0] for place in places if squeeze(place.name) != "id" and (known := youtube_id(place.value))]
            if named and outer.video_id not in named:
                raise ValueError(f"has a clip of another video, {named[0]}, under {outer.video_id}")
            if "split" in found:
                outer = replace(outer, split=found["split"].value)
                self._take("split", found["split"].name, within=within)
            yield from self._read_clips(found, outer, value, within)
            return
        is_list = isinstance(value, list | tuple)
        is_pair = is_list and len(value) == 2 and not any(isinstance(time, Mapping | list | tuple) for time in value)
        if is_list and value and not is_pair:
            for inner in value:
                yield from self._read_inner(inner, outer, within)
            return
        self._take("times", *within[:1], within=within[1:])
        if isinstance(value, str) and "-" in value.strip()[1:]:
            start, _, end = value.strip()[1:].partition("-")
            yield replace(outer, start_ms=read_time(value.strip()[0] + start), end_ms=read_time(end))
        elif is_pair:
            yield replace(outer, start_ms=read_time(value[0]), end_ms=read_time(value[1]))
        elif is_list:
            yield replace(outer, is_bare=True)
        else:
            raise ValueError(f"a clip must be [start, end], got {describe(value)}")
