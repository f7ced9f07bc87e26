"""A folder of media files as a source: local, or any fsspec URL; ids from content, metadata from beside the files."""

import csv
import hashlib
import io
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from datasets.files import store_errors
from datasets.outcomes import TransientError, ran_out
from datasets.outside_text import one_line

MEDIA_SUFFIXES = frozenset(
    (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "m2ts", "flv", "wmv", "asf"),
        *("mp3", "m4a", "wav", "w64", "ogg", "oga", "opus", "flac", "aac", "aiff", "aif", "au", "caf", "amr", "ac3"),
    )
)
"""Of the containers that `extract.container` opens."""
METADATA_FILE = "metadata.csv"
_MAX_METADATA_BYTES = 256 << 20
_FILE_COLUMNS = ("file_name", "filename", "file", "path")
_ID_DIGITS = 20


def list_media(folder: str) -> list[str]:
    """Paths of the media files below a folder, as they are named from it, sorted; hidden ones are left out.

    Raises:
        ValueError: no such folder, no media file in it, or a metadata.csv that cannot be read.
        OSError: the place where it lies does not answer.
    """
    try:
        fs, base = open_folder(folder)
        if not fs.isdir(base):
            closed = ", or none that this machine's key opens" if "://" in folder else ""
            told = "is a file: name its folder" if fs.exists(base) else f"there is no such folder{closed}"
            raise ValueError(f"source.folder: {folder}: {told}")
        read_rows(folder)  # what cannot be read stops a run, not its first file
        # Links and what is no file are "other"; who opened a pipe would wait without an end.
        found = [
            path
            for path, about in fs.find(base, detail=True).items()
            if about["type"] != "other" or Path(path).is_file() or not Path(path).exists()
        ]
    except store_errors() as error:
        raise OSError(f"source.folder: {folder}: {one_line(str(error))}") from error
    names = [PurePosixPath(path).relative_to(base).as_posix() for path in found]
    media = [name for name in sorted(names) if _is_media(name)]
    if not media:
        kinds = "mp4, mkv, webm, mov, wav, mp3, flac, m4a ..."
        raise ValueError(f"source.folder: {folder}: no media file among its {len(names)} files ({kinds})")
    return media


def _is_media(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower().removeprefix(".") in MEDIA_SUFFIXES and not is_hidden and name.isprintable()


def open_folder(folder: str) -> tuple[Any, str]:
    """The file system, and the folder's path on it."""
    fs, base = fsspec.core.url_to_fs(folder)
    return fs, str(base).rstrip("/")


def read_beside(fs: Any, place: str) -> bytes | None:
    """What lies beside media and says more of them; None without it. A folder of strangers may hold anything there.

    Raises:
        ValueError: more than metadata can be.
    """
    if not fs.isfile(place):
        return None
    if (size := fs.size(place)) > _MAX_METADATA_BYTES:
        raise ValueError(f"{place}: {size:,} bytes are no metadata")
    content: bytes = fs.cat_file(place)
    return content


def find_file(name: str, folder: str) -> list[dict[str, Any]]:
    """What a search for one file of the folder finds: its id, and its name as title.

    The id is the beginning of the content's sha256: the same file is the same video under any name, in any folder.

    Raises:
        TransientError: network: the file cannot be read now.
    """
    fs, base = open_folder(folder)
    try:
        with fs.open(f"{base}/{name}", "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except store_errors() as error:
        if ran_out(error):
            raise
        raise TransientError("network", f"{name}: {getattr(error, 'strerror', None) or error}") from error
    return [{"id": digest[:_ID_DIGITS], "title": name}]


@lru_cache(maxsize=4)
def read_rows(folder: str) -> dict[str, dict[str, Any]]:
    """Rows of the folder's metadata.csv by the file that each is about; none without one.

    Raises:
        ValueError: it is no text, or no column names the file.
    """
    fs, base = open_folder(folder)
    place = f"{base}/{METADATA_FILE}"
    try:
        content = read_beside(fs, place)
        if content is None:
            return {}
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        column = next((name for name in _FILE_COLUMNS if name in (reader.fieldnames or ())), None)
        if column is None:
            had = one_line(", ".join(map(str, reader.fieldnames or ())))
            raise ValueError(f"no column names the file: one of {', '.join(_FILE_COLUMNS)}, got {had}")
        return {row[column]: row for row in reader if row[column]}
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(f"{place} cannot be read: {error}") from error
