"""The metadata files of Places Audio Captions: images with spoken captions, one JSON file a split.

    {"image_base_path": DIR, "audio_base_path": DIR,
     "data": [{"uttid": ID, "speaker": ID, "asr_text": TEXT, "wav": PATH, "image": PATH}, ...]}

The two folders are those of whoever wrote the file, so that both can be named anew; the paths are relative to them.
"""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError, field_validator

from datasets.files import read_json
from datasets.settings import Settings
from datasets.tables import read_ok

_PAIR_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class PairSettings(Settings):
    """Where the pairs of a root come from."""

    language: str | None = None
    """ISO 639-1 code of the captions."""
    train: str | None = None
    val: str | None = None
    test: str | None = None
    """Metadata file of each split, as published."""
    images: str | None = None
    """Folder that the images' paths are relative to; the file's own `image_base_path` when not given."""
    audio: str | None = None
    """Folder that the captions' paths are relative to; the file's own `audio_base_path` when not given."""

    not_in_recipe: ClassVar[frozenset[str]] = frozenset({"train", "val", "test", "images", "audio"})

    @property
    def files(self) -> dict[str, str]:
        """{split: metadata file}"""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {split: path for split, path in named.items() if path is not None}


class _Pair(BaseModel):
    uttid: str
    wav: str
    image: str

    @field_validator("wav", "image")
    @classmethod
    def _stay_inside(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or not path.isprintable():
            raise ValueError("must be a path inside the base folder")
        return path


class _Metadata(BaseModel):
    image_base_path: str
    audio_base_path: str
    data: list[_Pair]


def read_places(path: str | Path, split: str, language: str | None = None) -> tuple[list[dict[str, Any]], Path, Path]:
    """Pairs of one metadata file.

    Args:
        path: the JSON file.
        split: train, val or test.
        language: of the captions.

    Returns:
        (rows of table pairs without outcome, paths relative to their folders; the file's folder of images; of sounds).

    Raises:
        ValueError: no such file, not of this format, a path that leaves its folder, or an uttid that is there twice.
    """
    metadata = _parse(Path(path))
    rows = [
        {
            "pair_id": make_pair_id(pair.uttid),
            "image_path": pair.image,
            "audio_path": pair.wav,
            "language": language,
            "split": split,
        }
        for pair in metadata.data
    ]
    refuse_repeated(rows, str(path))
    base = Path(path).parent  # for files that name their folders relative to themselves
    return rows, base / metadata.image_base_path, base / metadata.audio_base_path


def make_pair_id(uttid: str) -> str:
    """The utterance's id where it is letters, digits, '-' and '_'; the SHA-256 of any other."""
    return uttid if _PAIR_ID.fullmatch(uttid) else hashlib.sha256(uttid.encode()).hexdigest()


def refuse_repeated(rows: list[dict[str, Any]], where: str) -> None:
    """Raise ValueError when two rows have one pair_id."""
    repeated = [pair_id for pair_id, count in Counter(row["pair_id"] for row in rows).items() if count > 1]
    if repeated:
        raise ValueError(f"{where}: {len(repeated)} uttids are there twice, such as {repeated[0]!r}: remove the copies")


def _parse(path: Path) -> _Metadata:
    try:
        return _Metadata.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ValueError(f"no metadata file {path}: name the JSON of Places Audio Captions") from error
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise ValueError(f"{path}: {field}: {fault['msg']}, got {str(fault['input'])[:100]!r}") from error
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or past Python's own limits
        raise ValueError(f"{path} is not JSON: {str(error)[:200]}") from error


def locate_pairs(root: str) -> pa.Table:
    """Pairs that are ok, with the absolute paths of image and caption.

    Returns:
        Columns pair_id, image_path, audio_path, split; sorted by pair_id.
    """
    columns = ["pair_id", "image_path", "audio_path", "split"]
    pairs = read_ok(root, "pairs", columns).sort_by("pair_id")
    folders = read_json(folders_file(root)) or {}
    rows = pairs.to_pylist()
    for row in rows:
        images, sounds = folders.get(row["split"], ("no folder is known", "no folder is known"))
        row |= {"image_path": f"{images}/{row['image_path']}", "audio_path": f"{sounds}/{row['audio_path']}"}
    return pa.Table.from_pylist(rows, pairs.schema)


def folders_file(root: str) -> str:
    """Where the files lie on this machine: apart from the run's record, since that is of the recipe alone."""
    return f"{root.rstrip('/')}/pairs/_folders.json"
