"""Clip lists, a release's or of others, as rows of the table clips with a split: what a regeneration fetches and cuts.

Read are the folder of a release, CSV (video_id, start, end and, if there, split), YouCook2's annotation JSON, JSON
lists of segments or of video ids, also one a split, and pickled lists of dicts as AVLnet published. A pickle is read
without building any object of its classes.
"""

import csv
import io
import json
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasets.ids import check_video_id, make_clip_id
from datasets.outcomes import OK
from datasets.pickle_opcodes import UNREADABLE, check_opcodes

Row = dict[str, Any]

SPLITS = {"training": "train", "validation": "val", "testing": "test", "eval": "test"}
"""Other names of our splits. AVLnet's `eval` is the set that results are reported on."""

_TIME_NAMES = ("start", "start_ms", "Time Stamp")
# What a video can be long and the nine digits of a clip's id can say: eleven days.
_MAX_MS = 10**9
_VIDEO_NAMES = ("video_id", "Youtube Video ID", "id")


class ClipListError(ValueError):
    """A clip list that cannot be read; names the file and the entry."""


def _text_or_none(value: Any) -> str | None:
    return value[:500] if isinstance(value, str) and value.isprintable() else None


def _ms_or_none(value: Any) -> int | None:
    text = str(value) if isinstance(value, str | int) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


# What a release says more of its clips; a value of another kind says nothing.
_RELEASE_NAMES: Mapping[str, Callable[[Any], Any]] = {
    "speech_ms": _ms_or_none,
    "format_id": _text_or_none,
    "media_sha256": _text_or_none,
}


def read_clip_list(path: str | Path, split: str | None = None) -> list[Row]:
    """Clips of a list: clip_id, video_id, start_ms, end_ms, split, the outcome columns, and what a release says more.

    Args:
        path: .csv, .json or .pkl, or the folder of a release.
        split: for entries that name none.

    Returns:
        Each clip once, in the order of the list; none where the list names videos but no times. Times in seconds
        become whole milliseconds. From a release also `speech_ms`, `format_id` and `media_sha256`.

    Raises:
        ClipListError: not readable, an id that is none, times that are none.
    """
    rows: dict[str, Row] = {}
    entries = list(_entries(Path(path)))
    if not any(name in entry for entry in entries for name in _TIME_NAMES):
        read_video_ids(path)
        return []
    for number, entry in enumerate(entries, start=1):
        try:
            row = _clip(entry, split)
        except (ValueError, InvalidOperation, TypeError, LookupError) as error:
            raise ClipListError(f"{path}: entry {number}: {str(error)[:300]}") from error
        rows.setdefault(row["clip_id"], row)
    return list(rows.values())


def read_video_ids(path: str | Path) -> list[str]:
    """Videos of a list, each once: of its clips, or of a JSON list or object of video ids."""
    try:
        ids = [_first(entry, _VIDEO_NAMES) for entry in _entries(Path(path))]
        return list(dict.fromkeys(check_video_id(video_id) for video_id in ids))
    except ValueError as error:
        raise ClipListError(f"{path}: {error}") from error


def _entries(path: Path) -> Iterable[Mapping[str, Any]]:
    if path.is_dir():
        return _release_entries(path)
    try:
        content = path.read_bytes()
        if path.suffix == ".csv":
            return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
        if path.suffix == ".json":
            return list(_json_entries(json.loads(content)))
        if path.suffix in (".pkl", ".pickle"):
            check_opcodes(io.BytesIO(content))
            return list(_json_entries(_PlainUnpickler(io.BytesIO(content)).load()))
    except (OSError, csv.Error, *UNREADABLE) as error:
        raise ClipListError(f"{path}: cannot be read: {str(error)[:300] or type(error).__name__}") from error
    raise ClipListError(f"{path}: must end in .csv, .json or .pkl, or be the folder of a release")


def _release_entries(folder: Path) -> list[Row]:
    shards = sorted(folder.glob("data/metadata/*.parquet"))
    if not shards:
        raise ClipListError(f"{folder}: holds no data/metadata/*.parquet, so it is no release")
    try:
        return [entry for shard in shards for entry in pq.ParquetFile(shard).read(columns=_names_in(shard)).to_pylist()]
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ClipListError(f"{folder}: cannot be read: {str(error)[:300]}") from error


def _names_in(shard: Path) -> list[str]:
    wanted = {*_TIME_NAMES, *_VIDEO_NAMES, *_RELEASE_NAMES, "end_ms", "end", "split"}
    return [name for name in pq.read_schema(shard).names if name in wanted]


def _json_entries(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping) and isinstance(value.get("database"), Mapping):
        yield from _youcook2_entries(value["database"])
    elif isinstance(value, Mapping) and value and value.keys() <= {*SPLITS, *SPLITS.values()}:
        for split, listed in value.items():
            yield from ({**entry, "split": entry.get("split") or split} for entry in _json_entries(listed))
    elif isinstance(value, Mapping):
        yield from ({"video_id": video_id} for video_id in value)
    elif isinstance(value, list):
        yield from (item if isinstance(item, Mapping) else {"video_id": item} for item in value)
    else:
        raise ClipListError(f"must hold a list or an object, got {type(value).__name__}")


def _youcook2_entries(database: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for video_id, video in database.items():
        for annotation in video.get("annotations", []):
            times = annotation.get("segment")
            if times is not None:
                if not isinstance(times, list) or len(times) != 2:
                    raise ClipListError(f"{str(video_id)[:80]}: a segment is [start, end]")
                yield {"video_id": video_id, "start": times[0], "end": times[1], "split": video.get("subset")}


def _clip(entry: Mapping[str, Any], split: str | None) -> Row:
    video_id = check_video_id(_first(entry, _VIDEO_NAMES))
    start_ms, end_ms = _times(entry)
    if not start_ms < end_ms:
        raise ValueError(f"start must be before end, got {start_ms} and {end_ms} ms")
    named = entry.get("split") or split
    if not isinstance(named, str | None):
        raise ValueError(f"split must be a name, got a {type(named).__name__}")
    return {
        "clip_id": make_clip_id(video_id, start_ms, end_ms),
        "video_id": video_id,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "split": SPLITS.get(str(named), named),
        **{name: _RELEASE_NAMES[name](entry[name]) for name in _RELEASE_NAMES if name in entry},
        **OK,
    }


def _times(entry: Mapping[str, Any]) -> tuple[int, int]:
    if "Time Stamp" in entry:
        start, _, end = str(entry["Time Stamp"]).partition("-")
        return _to_ms(start), _to_ms(end)
    if entry.get("start_ms") is not None:
        return _to_ms(entry["start_ms"], unit=1), _to_ms(entry["end_ms"], unit=1)
    return _to_ms(_first(entry, ("start",))), _to_ms(_first(entry, ("end",)))


def _to_ms(time: Any, unit: int = 1000) -> int:
    """Refused before it is rounded: 1e999999 as an integer is a megabyte."""
    if not isinstance(time, str | int | float | Decimal):
        raise ValueError(f"a time is a number, got a {type(time).__name__}")
    value = Decimal(str(time)[:100].strip()) * unit
    if not 0 <= value < _MAX_MS:
        raise ValueError(f"times must be from 0 to {_MAX_MS} ms, got {value:.6g}")
    return round(value)


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> Any:
    for name in names:
        if entry.get(name) not in (None, ""):
            return entry[name]
    raise ClipListError(f"has none of {', '.join(names)}; it has {', '.join(map(str, entry))[:200]}")


class _Ignored:
    """Stands for every object of a pickle that is no plain value: features, tensors, whatever it names."""

    def __new__(cls, *_: Any, **__: Any) -> "_Ignored":
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> "_Ignored":
        return self


class _NumberType(_Ignored):
    """Stands for a numpy dtype: its code, such as f8, is all that is kept."""

    code: Any

    def __new__(cls, code: Any = None, *_: Any, **__: Any) -> "_NumberType":
        number_type = object.__new__(cls)
        number_type.code = code
        return number_type


_NUMBERS = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q"}


def _read_number(number_type: Any, content: Any) -> Any:
    """A number that numpy pickled as its type and its bytes: so times are stored that were computed with it."""
    layout = _NUMBERS.get(str(getattr(number_type, "code", None)))
    is_number = layout is not None and isinstance(content, bytes) and len(content) == struct.calcsize(layout)
    return struct.unpack(layout, content)[0] if layout is not None and is_number else _Ignored()


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, texts and numbers; resolves no class, so that nothing of the file is executed."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case ("numpy", "dtype"):
                return _NumberType
            case ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar"):
                return _read_number
        return _Ignored

    def persistent_load(self, pid: Any) -> Any:
        return _Ignored()
