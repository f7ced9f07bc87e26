"""Where media files lie, and when one counts as complete.

A finished download has a record beside it, `<video_id>.json`, written before the file gets its final name. A run that
is killed between the two, or before its table is written, finds both and fetches nothing twice. Names come from the
checked video id alone.
"""

import hashlib
import os
import shutil
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

from datasets.files import read_json, sha256_of, write_json
from datasets.ids import check_video_id
from datasets.outcomes import RowError
from extract.mp4 import IncompleteMediaError

SHORT_COUNT_S = 0.01


class DiskFullError(RowError):
    """Too little room for another video: the disk, or the ceiling for all media."""


def media_path(media_root: str | Path, video_id: str) -> Path:
    """`<media_root>/<2 hex of sha1(video_id)>/<video_id>.mp4`; raises ValueError for what is no video id."""
    folder = hashlib.sha1(check_video_id(video_id).encode()).hexdigest()[:2]
    return Path(media_root).absolute() / folder / f"{video_id}.mp4"


def record_path(media_root: str | Path, video_id: str) -> Path:
    """The record beside a complete media file."""
    return media_path(media_root, video_id).with_suffix(".json")


def partial_path(media_root: str | Path, video_id: str, format_key: str) -> Path:
    """Where a download grows: named by its format too, so that a resume never joins two encodings."""
    key = hashlib.sha1(format_key.encode()).hexdigest()[:8]
    return media_path(media_root, video_id).with_name(f".{video_id}.{key}.mp4")


def read_record(media_root: str | Path, video_id: str) -> dict[str, Any] | None:
    """The record of a media file that is complete: there, of the recorded size and sha256; else None."""
    record = read_json(record_path(media_root, video_id))
    path = media_path(media_root, video_id)
    if not isinstance(record, dict) or not path.is_file():
        return None
    media = record.get("media") or {}
    is_complete = path.stat().st_size == media.get("num_bytes") and sha256_of(path) == media.get("sha256")
    return record if is_complete else None


def keep_media(partial: Path, media_root: str | Path, video_id: str, record: dict[str, Any]) -> None:
    """Give a complete download its record, then its name; what earlier attempts left behind goes."""
    path = media_path(media_root, video_id)
    write_json(record_path(media_root, video_id), record)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    drop_partials(media_root, video_id)


def drop_partials(media_root: str | Path, video_id: str) -> None:
    """Delete unfinished downloads of a video."""
    for left in media_path(media_root, video_id).parent.glob(f".{video_id}.*"):
        left.unlink(missing_ok=True)


def remove_media(media_root: str | Path, video_id: str) -> None:
    """Delete a video's media, its record and unfinished downloads (takedown, retention)."""
    media_path(media_root, video_id).unlink(missing_ok=True)
    record_path(media_root, video_id).unlink(missing_ok=True)
    drop_partials(media_root, video_id)


def prepare_media_root(media_root: str | Path) -> None:
    """Make the folder; raises ValueError where file names differ by case alone would collide, as video ids may."""
    _prepare(str(Path(media_root).absolute()))


@lru_cache
def _prepare(media_root: str) -> None:
    Path(media_root).mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=media_root, prefix=".case-a") as probe:
        if Path(media_root, Path(probe.name).name.upper()).exists():
            raise ValueError(
                f"media_root must lie on a file system that tells upper from lower case, got {media_root}: "
                "ids that differ by case would overwrite each other"
            )


def check_room(media_root: str | Path, num_bytes: int, min_free_bytes: int, max_total_bytes: int) -> None:
    """Raise DiskFullError unless `num_bytes` more fit on the disk and below the ceiling for all media."""
    free = shutil.disk_usage(media_root).free
    if free - num_bytes < min_free_bytes:
        told = f"{free} bytes are free, {num_bytes} needed beside the {min_free_bytes} to be left free"
        raise DiskFullError("disk_full", told)
    # A million files take seconds to count, and every video asks twice: where counting takes long, it is not done again
    # before twenty times as long has passed.
    with _COUNTING:
        used, begun, ended = _COUNTS.get(str(media_root), (0, 0.0, 0.0))
        if ended - begun < SHORT_COUNT_S or monotonic() - ended >= 20 * (ended - begun):
            begun = monotonic()
            used = total_bytes(media_root)
            _COUNTS[str(media_root)] = used, begun, monotonic()
    if used + num_bytes > max_total_bytes:
        told = f"media take {used} bytes of the {max_total_bytes} allowed, {num_bytes} more needed"
        raise DiskFullError("disk_full", told)


_COUNTING = threading.Lock()
_COUNTS: dict[str, tuple[int, float, float]] = {}


def total_bytes(media_root: str | Path) -> int:
    """Bytes of all media files, unfinished ones too."""
    num_bytes = 0
    for folder in [entry.path for entry in os.scandir(media_root) if entry.is_dir()]:
        for entry in os.scandir(folder):
            try:
                num_bytes += entry.stat().st_size
            except FileNotFoundError:  # another thread gave it its final name
                continue
    return num_bytes


def check_media_start(path: Path) -> None:
    """Raise IncompleteMediaError for a file that does not begin like mp4, Matroska or MPEG-TS, such as a web page."""
    with path.open("rb") as file:
        head = file.read(189)
    is_mp4 = head[4:8] in (b"ftyp", b"styp", b"moov", b"moof", b"sidx")
    is_matroska, is_mpeg_ts = head[:4] == b"\x1aE\xdf\xa3", head[:1] == head[188:] == b"\x47"
    if not (is_mp4 or is_matroska or is_mpeg_ts):
        raise IncompleteMediaError("network", f"not a media file, it begins with {head[:12]!r}")
