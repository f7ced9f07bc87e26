"""Clip lists, a release's or of others, as rows of the table clips with a split: what a regeneration fetches and cuts.

docs/lists.md tabulates what is read. A list is read whole or refused by name of what is not understood. Only a clip
that cannot be, such as one without length, is left out, as a row that says so.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from datasets.ids import make_clip_id
from datasets.numbers import describe, read_number
from datasets.outcomes import OK, Status, dropped
from datasets.releases.layout import shards_of
from datasets.suggestions import did_you_mean
from extract.lists.entries import Entry, EntryReader, listed
from extract.lists.names import role_of
from extract.lists.parquet import read_rows_of
from extract.lists.pickles import read_plain_pickle
from extract.lists.tables import read_rows
from extract.lists.trees import SPLITS, read_tree

Row = dict[str, Any]


class ClipListError(ValueError):
    """A clip list that cannot be read; names the file and the entry."""


def _text_or_none(value: Any) -> str | None:
    return value[:500] if isinstance(value, str) and value.isprintable() else None


def _ms_or_none(value: Any) -> int | None:
    try:
        number = read_number(value, 0, 10**9)
    except ValueError:
        return None
    return int(number) if number == int(number) else None


# What a release says more of its clips; a value of another kind says nothing.
_RELEASE_NAMES: Mapping[str, Callable[[Any], Any]] = {
    "speech_ms": _ms_or_none,
    "format_id": _text_or_none,
    "media_sha256": _text_or_none,
}


@dataclass(frozen=True)
class ClipList:
    """What a list says."""

    clips: tuple[Row, ...]
    """Each once, in the order of the list."""
    skipped: tuple[Row, ...]
    """Clips that cannot be, as dropped rows of the table clips."""
    video_ids: tuple[str, ...]
    """Videos of the clips; of a list that names videos only, these. Each once."""
    num_entries: int
    layout: str
    """In words, with the names that were taken."""
    num_repeated: int
    ignored: tuple[str, ...]
    """Names that stand in the list and say nothing that is needed."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """clip_id to what the list says of the clip, under the first of `CAPTION_NAMES` that it has."""

    def describe(self) -> str:
        """One line for people: how many entries were read, as which layout, and what was left."""
        parts = [
            f"{self.num_entries:,} entries read as {self.layout}",
            f"clips: {len(self.clips):,}, videos: {len(self.video_ids):,}",
        ]
        if self.num_repeated:
            parts.append(f"named again: {self.num_repeated:,}")
        if self.skipped:
            shown = ", ".join(f"{row['video_id']} ({row['detail']})" for row in self.skipped[:3])
            parts.append(f"left out: {len(self.skipped):,}, {shown}{' ...' if len(self.skipped) > 3 else ''}")
        if self.ignored:
            names = ", ".join(name[:40] or "a column without a name" for name in self.ignored[:12])
            parts.append(f"ignored: {names}{' ...' if len(self.ignored) > 12 else ''}")
        return "; ".join(parts)


MAX_CAPTION_CHARS = 10_000
CAPTION_NAMES = (
    "caption",
    "sentence",
    "text",
    "transcript",
    "transcription",
    "subtitle",
    "description",
    "desc",
    "query",
)
TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".pkl", ".pickle")
LIST_SUFFIXES = (*TABLE_SUFFIXES, ".txt")


def read_list(path: str | Path, split: str | None = None, video_column: str | None = None) -> ClipList:
    """Read a clip list whole.

    Args:
        path: .csv, .tsv, .txt, .json, .jsonl, .parquet or .pkl, or the folder of a release.
        split: for entries that name none.
        video_column: the name under which the videos stand; found by its name when not given.

    Raises:
        ClipListError: what is not understood, by name of the entry.
    """
    reader = EntryReader(video_column)
    layout, entries = _open(Path(path), reader)
    listed, problem = [], None
    try:
        for entry in entries:
            listed.append(entry)
    except ValueError as error:
        problem = str(error)[:300]
    except RecursionError:
        problem = "is nested too deeply"
    if problem is not None:
        raise ClipListError(f"{path}: entry {len(listed) + 1}: {problem}: docs/lists.md shows what is read")
    return _settle(str(path), listed, layout, reader, split)


def read_clip_list(path: str | Path, split: str | None = None) -> list[Row]:
    """Clips of a list: clip_id, video_id, start_ms, end_ms, split, the outcome columns, and what a release says more.

    Returns:
        Each clip once, in the order of the list; none where the list names videos but no times. From a release also
        `speech_ms`, `format_id` and `media_sha256`.

    Raises:
        ClipListError: what is not understood, by name of the entry.
    """
    return list(read_list(path, split).clips)


def read_video_ids(path: str | Path) -> list[str]:
    """Videos of a list, each once: of its clips, or of a list of videos.

    Raises:
        ClipListError: what is not understood, by name of the entry.
    """
    return list(read_list(path).video_ids)


def _open(path: Path, reader: EntryReader) -> tuple[str, Iterator[Entry]]:
    """The layout in words, and the entries, still to be read."""
    try:
        if path.is_dir():
            shards = shards_of(path, "metadata", bare=True)
            if not shards:
                raise ValueError("holds no shards data/metadata/*.parquet, so it is no release")
            rows: list[Row] = []
            for shard in shards:
                rows += read_rows_of(shard, lambda name: role_of(name) is not None or name in _RELEASE_NAMES)
            return "a release", _read_all(rows, reader)
        if path.exists() and not path.is_file():
            raise ValueError("is a pipe or a device, and a list is a file")
        content = path.read_bytes()
        match path.suffix.lower():
            case ".csv" | ".tsv" | ".txt":
                layout, cells = read_rows(content, reader.video_column)
                return layout, _read_all(cells, reader)
            case ".json":
                return "JSON", read_tree(_parse_json(content), reader)
            case ".jsonl" | ".ndjson":
                return "lines of JSON", read_tree(_parse_lines(content), reader)
            case ".parquet":
                return "a Parquet table", _read_all(read_rows_of(path), reader)
            case ".pkl" | ".pickle":
                return "a pickle", read_tree(read_plain_pickle(content), reader)
    except RecursionError as error:
        raise ClipListError(f"{path}: cannot be read: is nested too deeply") from error
    except UnicodeDecodeError as error:
        told = f"is not {error.encoding.upper()} text, at byte {error.start}"
        raise ClipListError(f"{path}: cannot be read: {told}") from error
    except FileNotFoundError as error:
        beside = map(str, path.parent.iterdir()) if path.parent.is_dir() else ()
        mend = "; before = stands train, val or test" if "=" in str(path) else did_you_mean(str(path), beside)
        raise ClipListError(f"{path}: cannot be read: there is no such list{mend}") from error
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ClipListError(f"{path}: cannot be read: {str(error)[:300]}: docs/lists.md shows what is read") from error
    raise ClipListError(f"{path}: must end in one of {', '.join(LIST_SUFFIXES)}, or be the folder of a release")


def _parse_lines(content: bytes) -> list[Any]:
    # As json.loads decodes a whole file.
    text, parsed = content.decode(json.detect_encoding(content), "surrogatepass").removeprefix("\ufeff"), []
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            try:
                parsed.append(_parse_json(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {str(error).partition(': line 1')[0]}") from error
    return parsed


def _parse_json(content: bytes | str) -> Any:
    """JSON in which no name stands twice in an object: the last would be kept without a word."""

    def take_once(pairs: list[tuple[str, Any]]) -> Row:
        found: Row = {}
        for name, value in pairs:
            if found.setdefault(name, value) is not value:
                raise ValueError(f"names {name[:80]!r} twice in an object")
        return found

    # Python refuses to read integers of thousands of digits, and says so in words of its own.
    return json.loads(
        content,
        object_pairs_hook=take_once,
        parse_int=lambda text: int(text) if len(text) <= 30 else Decimal(text),
    )


def _read_all(rows: Iterable[Row], reader: EntryReader) -> Iterator[Entry]:
    for row in rows:
        yield from reader.read(row)


def _settle(path: str, entries: list[Entry], layout: str, reader: EntryReader, split: str | None) -> ClipList:
    """Entries to rows: what a single entry cannot show is looked at here."""
    timed = [(number, entry) for number, entry in enumerate(entries, start=1) if entry.start_ms is not None]
    untimed = [(number, entry) for number, entry in enumerate(entries, start=1) if entry.start_ms is None]
    for number, entry in untimed:
        if timed and not entry.is_bare:
            raise ClipListError(f"{path}: entry {number}: {entry.video_id} has no times, while others have")
    rows: dict[str, Row] = {}
    captions: dict[str, str] = {}
    said = next((name for wanted in CAPTION_NAMES for name in reader.seen if name.lower() == wanted), None)
    for number, entry in timed:
        row = _make_row(f"{path}: entry {number}", entry, split)
        caption = entry.more.get(said)
        if (each := listed(caption)) is not None and entry.number < len(each):
            caption = each[entry.number]
        if isinstance(caption, str) and caption.strip():
            # Half an emoji, where somebody cut a text by its UTF-16 units, is no character that can be written.
            written = caption.encode(errors="replace").decode()
            captions.setdefault(row["clip_id"], written.strip()[:MAX_CAPTION_CHARS])
        known = rows.setdefault(row["clip_id"], row)
        if known["split"] != row["split"]:
            two = f"in two splits, {known['split']} and {row['split']}"
            raise ClipListError(f"{path}: entry {number}: the clip {row['clip_id']} is {two}")
    clips = tuple(row for row in rows.values() if row["status"] == Status.OK)
    skipped = tuple(row for row in rows.values() if row["status"] != Status.OK)
    if skipped and not clips:
        first = skipped[0]
        raise ClipListError(f"{path}: no clip can be cut; the first, of {first['video_id']}: {first['detail']}")
    named = [row["video_id"] for row in clips] if timed else [entry.video_id for entry in entries]
    taken = "; ".join(f"{role}: {names}" for role, names in reader.taken.items())
    return ClipList(
        clips,
        skipped,
        tuple(dict.fromkeys(named)),
        len(entries),
        f"{layout} ({taken})",
        len(timed) - len(rows),
        tuple(name for name in reader.ignored if name not in (*_RELEASE_NAMES, said if captions else None)),
        captions,
    )


def _make_row(place: str, entry: Entry, split: str | None) -> Row:
    named = entry.split if entry.split not in (None, "") else split
    if not isinstance(named, str | None):
        raise ClipListError(f"{place}: a split is a name, got {describe(named)}")
    start_ms, end_ms = entry.start_ms or 0, entry.end_ms or 0
    outcome = OK
    if not 0 <= start_ms < end_ms:
        outcome = dropped("no_length", f"start must be before end and not below 0, got {start_ms} and {end_ms} ms")
    return {
        "clip_id": make_clip_id(entry.video_id, start_ms, end_ms),
        "video_id": entry.video_id,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "split": SPLITS.get(str(named).strip().lower(), named),
        **{name: read(entry.more[name]) for name, read in _RELEASE_NAMES.items() if name in entry.more},
        **outcome,
    }
