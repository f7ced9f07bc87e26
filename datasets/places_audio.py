"""The metadata files of Places Audio Captions: images with spoken captions, a file a split, known by their keys.

    English:  {"image_base_path": DIR, "audio_base_path": DIR,
               "data": [{"uttid": ID, "speaker": ID, "asr_text": TEXT, "wav": PATH, "image": PATH}, ...]}
    Hindi:    {"english_base_path": DIR, "data": [{"hindi_wav": PATH, "image": PATH, ...}, ...]}, or as the English one
              without folders and utterance ids
    Japanese: a line a pair, "/IMAGE /WAV"

The folders are those of whoever wrote the file, so that both can be named anew. Paths are relative to them, whatever
slash they begin with. The layouts are those that public loaders read (ESPnet's recipe places_hindi, and the merging of
three languages by Hsu and Crabtree); the archives themselves were not at hand.
"""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from datasets.files import join_path, read_json
from datasets.settings import OUTSIDE_RECIPE, Settings
from datasets.tables import read_ok
from datasets.wide import widen

_PAIR_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class PairSettings(Settings):
    """Where the pairs of a root come from."""

    language: str | None = None
    """ISO 639-1 code of the captions."""
    train: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Metadata file of split train, as published."""
    val: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Metadata file of split val."""
    test: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Metadata file of split test."""
    images: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Folder that the images' paths are relative to; the file's own `image_base_path` when not given."""
    audio: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Folder that the captions' paths are relative to; when not given the file's own `audio_base_path`, else the folder
    `hindi_wavs` beside it for its `hindi_wav`, else the folder it lies in."""

    @property
    def files(self) -> dict[str, str]:
        """{split: metadata file}"""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {split: path for split, path in named.items() if path is not None}


class _Pair(BaseModel):
    uttid: str | None = None
    wav: str
    image: str

    @model_validator(mode="before")
    @classmethod
    def _take_hindi(cls, values: Any) -> Any:
        return {**values, "wav": values["hindi_wav"]} if isinstance(values, dict) and "hindi_wav" in values else values

    @field_validator("wav", "image")
    @classmethod
    def _stay_inside(cls, path: str) -> str:
        inside = path.lstrip("/")
        parts = PurePosixPath(inside).parts
        if not parts or ".." in parts or "\\" in path or not path.isprintable():
            raise ValueError("must be a path inside the base folder")
        return inside


class _Metadata(BaseModel):
    image_base_path: str | None = None
    audio_base_path: str | None = None
    data: list[_Pair] = Field(min_length=1)


def read_places(
    path: str | Path, split: str, language: str | None = None
) -> tuple[list[dict[str, Any]], Path | None, Path]:
    """Pairs of one metadata file.

    Args:
        path: JSON or lines, in one of the layouts above.
        split: train, val or test.
        language: of the captions.

    Returns:
        (rows of table pairs without outcome, paths relative to their folders; the folder of images, None where the file
        names none; of sounds). Where an utterance has no id, its pair's is made from the path of its sound.

    Raises:
        ValueError: no such file, of another layout, a path that leaves its folder, or an utterance that is there twice.
    """
    path = Path(path)
    held = _parse(path)
    try:
        metadata = _Metadata.model_validate(held)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise ValueError(f"{path}: {field}: {fault['msg']}, got {str(fault['input'])[:100]!r}") from error
    rows = [
        {
            "pair_id": make_pair_id(pair.uttid or pair.wav),
            "image_path": pair.image,
            "audio_path": pair.wav,
            "language": language,
            "split": split,
        }
        for pair in metadata.data
    ]
    refuse_repeated(rows, str(path))
    beside = "hindi_wavs" if "hindi_wav" in held["data"][0] and (path.parent / "hindi_wavs").is_dir() else ""
    images = metadata.image_base_path
    # Joined with the file's own folder, for files that name their folders relative to themselves.
    return rows, images if images is None else path.parent / images, path.parent / (metadata.audio_base_path or beside)


def make_pair_id(uttid: str) -> str:
    """The utterance's id where it is letters, digits, '-' and '_'; the SHA-256 of any other."""
    return uttid if _PAIR_ID.fullmatch(uttid) else hashlib.sha256(uttid.encode()).hexdigest()


def refuse_repeated(rows: list[dict[str, Any]], where: str) -> None:
    """Raise ValueError when two rows have one pair_id."""
    repeated = [pair_id for pair_id, count in Counter(row["pair_id"] for row in rows).items() if count > 1]
    if repeated:
        raise ValueError(f"{where}: {len(repeated)} uttids are there twice, such as {repeated[0]!r}: remove the copies")


def _parse(path: Path) -> Any:
    """JSON as it is, lines as the JSON that would say the same."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip()[:1] in ("{", "[", ""):
            return json.loads(text)
        rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        wrong = [number for number, words in rows if len(words) != 2]
        if wrong:
            raise ValueError(f"nor is line {wrong[0]} an image and a sound with a space between")
        return {"data": [{"image": image, "wav": wav} for _, (image, wav) in rows]}
    except FileNotFoundError as error:
        raise ValueError(f"no metadata file {path}: name the JSON or the lines of Places Audio Captions") from error
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
    pairs = widen(read_ok(root, "pairs", columns)).sort_by("pair_id")
    folders = read_json(folders_file(root)) or {}
    rows = pairs.to_pylist()
    for row in rows:
        images, sounds = folders.get(row["split"], ("no folder is known", "no folder is known"))
        row |= {"image_path": f"{images}/{row['image_path']}", "audio_path": f"{sounds}/{row['audio_path']}"}
    return pa.Table.from_pylist(rows, pairs.schema)


def folders_file(root: str) -> str:
    """Where the files lie on this machine: apart from the run's record, since that is of the recipe alone."""
    return join_path(root, "pairs", "_folders.json")
