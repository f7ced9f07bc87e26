"""Clip lists of others, as rows of the table clips with a split: what a regeneration fetches and cuts.

Read are CSV (video_id, start, end and, if there, split), YouCook2's annotation JSON, JSON lists of segments or of video
ids, and pickled lists of dicts as AVLnet published. A pickle is read without building any object of its classes.
"""

import csv
import io
import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from datasets.ids import check_video_id, make_clip_id
from datasets.schemas import OK

Row = dict[str, Any]

SPLITS = {"training": "train", "validation": "val", "testing": "test", "eval": "test"}
"""Other names of our splits. AVLnet's `eval` is the set that results are reported on."""

_VIDEO_NAMES = ("video_id", "Youtube Video ID", "id")


class ClipListError(ValueError):
    """A clip list that cannot be read; names the file and the entry."""


def read_clip_list(path: str | Path, split: str | None = None) -> list[Row]:
    """Clips of a foreign list: clip_id, video_id, start_ms, end_ms, split and the outcome columns.

    Args:
        path: .csv, .json or .pkl.
        split: for entries that name none.

    Returns:
        Each clip once, in the order of the list. Times in seconds become whole milliseconds.

    Raises:
        ClipListError: not readable, an id that is none, times that are none.
    """
    rows: dict[str, Row] = {}
    for number, entry in enumerate(_entries(Path(path)), start=1):
        try:
            row = _clip(entry, split)
        except (ValueError, InvalidOperation, TypeError) as error:
            raise ClipListError(f"{path}: entry {number}: {error}") from error
        rows.setdefault(row["clip_id"], row)
    return list(rows.values())


def read_video_ids(path: str | Path) -> list[str]:
    """Videos of a list, each once: of its clips, or of a JSON list or object of video ids."""
    ids = [str(_first(entry, _VIDEO_NAMES)) for entry in _entries(Path(path))]
    try:
        return list(dict.fromkeys(check_video_id(video_id) for video_id in ids))
    except ValueError as error:
        raise ClipListError(f"{path}: {error}") from error


def _entries(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        content = path.read_bytes()
        if path.suffix == ".csv":
            return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
        if path.suffix == ".json":
            return list(_json_entries(json.loads(content)))
        if path.suffix in (".pkl", ".pickle"):
            return list(_json_entries(_PlainUnpickler(io.BytesIO(content)).load()))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, pickle.UnpicklingError, EOFError) as error:
        raise ClipListError(f"{path}: cannot be read: {error}") from error
    raise ClipListError(f"{path}: must end in .csv, .json or .pkl")


def _json_entries(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping) and isinstance(value.get("database"), Mapping):
        yield from _youcook2_entries(value["database"])
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
                yield {"video_id": video_id, "start": times[0], "end": times[1], "split": video.get("subset")}


def _clip(entry: Mapping[str, Any], split: str | None) -> Row:
    video_id = check_video_id(_first(entry, _VIDEO_NAMES))
    start_ms, end_ms = _times(entry)
    if not 0 <= start_ms < end_ms:
        raise ValueError(f"start must be before end and not negative, got {start_ms} and {end_ms} ms")
    named = entry.get("split") or split
    return {
        "clip_id": make_clip_id(video_id, start_ms, end_ms),
        "video_id": video_id,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "split": SPLITS.get(str(named), named),
        **OK,
    }


def _times(entry: Mapping[str, Any]) -> tuple[int, int]:
    if "Time Stamp" in entry:
        start, _, end = str(entry["Time Stamp"]).partition("-")
        return _to_ms(start), _to_ms(end)
    if entry.get("start_ms") is not None:
        return int(entry["start_ms"]), int(entry["end_ms"])
    return _to_ms(_first(entry, ("start",))), _to_ms(_first(entry, ("end",)))


def _to_ms(seconds: Any) -> int:
    return round(Decimal(str(seconds).strip()) * 1000)


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


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, texts and numbers; resolves no class, so that nothing of the file is executed."""

    def find_class(self, module: str, name: str) -> Any:
        return _Ignored

    def persistent_load(self, pid: Any) -> Any:
        return _Ignored()
