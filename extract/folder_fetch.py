"""A file of a folder to rows of videos and media: linked where it lies; copied where that is asked or it is remote."""

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from datasets.files import is_local, sha256_of, store_errors
from datasets.numbers import read_number
from datasets.outcomes import OK, MediaError, TransientError, failed, ran_out
from extract.container import probe_media
from extract.folder import open_folder, read_beside, read_rows
from extract.media_store import DiskFullError, check_room, media_path, partial_path, prepare_media_root, remove_media
from extract.selection import SelectionSettings, select, select_by_speech
from extract.site.metadata import clean_metadata
from extract.site.rows import Row, make_media, make_video
from extract.site.settings import DownloadSettings
from extract.sources import SourceSettings

# Whoever holds the file has it: what a site said of who may watch it rejects nothing.
_OF_A_SITE = ("live_status", "is_live", "availability", "age_limit", "formats", "automatic_captions", "duration")


def fetch_file(
    name: str,
    video_id: str,
    media_root: str | Path,
    source: SourceSettings,
    selection: SelectionSettings,
    download: DownloadSettings,
) -> tuple[Row, Row | None]:
    """Metadata, selection and the media of one file, as `extract.site.fetch.fetch_video` gives them.

    The rule of language asks what lies beside the file declares, and what is heard (`selection.spoken_model`): where
    neither says anything, whoever named the folder knows.

    Returns:
        (row of `videos`, row of `media` or None).

    Raises:
        TransientError: network: the place where it lies does not answer. OSError: this machine has no room.
    """
    prepare_media_root(media_root)
    path, identity = media_path(media_root, video_id), {"video_id": video_id, "source": source.name}
    try:
        metadata = read_metadata(name, source.folder or "")
        _bring(name, path, source, download)
        digest = sha256_of(path)
        if not digest.startswith(video_id):
            raise FileNotFoundError(f"{name}: changed since it was found")
    except ValueError as error:
        return {**identity, **failed("bad_answer", str(error))}, None
    except DiskFullError as error:
        return {**identity, **failed(error.reason, error.detail)}, None
    except store_errors() as error:
        remove_media(media_root, video_id)
        if ran_out(error):
            raise
        told = f"{name}: {getattr(error, 'strerror', None) or error}"
        if "://" in (source.folder or "") and not isinstance(error, FileNotFoundError):
            raise TransientError("network", told) from error
        return {**identity, **failed("unavailable", told)}, None
    try:
        video, media = _judge(video_id, metadata, path, digest, source, selection)
    except MediaError as error:
        why = failed(error.reason, f"{name}: {error.detail}")
        failure = {"video_id": video_id, **why, "fetched_at": datetime.now(UTC)}
        video, media = {**make_video(video_id, metadata, source, selection), **OK}, failure
    if media is None or media["status"] != "ok":
        remove_media(media_root, video_id)
    return video, media


def _judge(
    video_id: str, metadata: Row, path: Path, digest: str, source: SourceSettings, selection: SelectionSettings
) -> tuple[Row, Row | None]:
    """The rows of a file by what it holds and what is said of it; raises MediaError."""
    found = probe_media(path, metadata.get("language"))
    if found.audio_codec is None:
        raise MediaError("no_audio", "the file has no sound")
    metadata["duration"] = found.duration_ms / 1000
    video = make_video(video_id, metadata, source, selection)
    rules = selection if metadata.get("language") else selection.model_copy(update={"language": None})
    rejected = select(metadata, rules)
    heard: Row = {}
    if rejected is None:
        heard, rejected = select_by_speech(path, selection, found.audio_track)
    if rejected is not None:
        return {**video, **heard, **rejected}, None
    chosen: list[Any] = [{"source_format_id": "file", "language": metadata.get("language")}]
    media = make_media(video_id, path, path.stat().st_size, digest, chosen, found)
    return {**video, **heard, **OK}, {**media, **OK, "fetched_at": datetime.now(UTC)}


def _bring(name: str, path: Path, source: SourceSettings, download: DownloadSettings) -> None:
    """The file under the name that all stages know: a link to where it lies, or a copy; whole or not at all."""
    fs, base = open_folder(source.folder or "")
    original = f"{base}/{name}"
    path.parent.mkdir(exist_ok=True)
    partial = partial_path(path.parents[1], path.stem, name)
    partial.unlink(missing_ok=True)
    try:
        if is_local(fs) and not source.copy_files:
            partial.symlink_to(Path(original).resolve(strict=True))
        else:
            limits = (download.min_free_bytes, download.max_total_bytes)
            check_room(path.parent.parent, int(fs.size(original) or 0), *limits)
            fs.get_file(original, str(partial))
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_metadata(name: str, folder: str) -> dict[str, Any]:
    """What lies beside a file says of it: yt-dlp's info.json, else its row of the folder's metadata.csv.

    Raises:
        ValueError: a metadata file that cannot be read.
    """
    fs, base = open_folder(folder)
    path = PurePosixPath(base, name)
    for beside in (path.with_suffix(".info.json"), path.with_name(f"{path.name}.info.json")):
        if (content := read_beside(fs, str(beside))) is not None:
            try:
                known = json.loads(content)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{beside} is not JSON: {str(error)[:200]}") from error
            return _clean(known if isinstance(known, dict) else {}, name)
    rows = read_rows(folder)
    return _clean(rows.get(name) or rows.get(path.name) or {}, name)


def _clean(known: dict[str, Any], name: str) -> dict[str, Any]:
    """In the types that the rest counts on; a file without a title is called by its name."""
    if isinstance(views := known.get("view_count"), str):  # of a CSV, in which everything is text
        with suppress(ValueError):
            known = {**known, "view_count": int(read_number(views, 0, 10**18))}
    cleaned = {key: value for key, value in clean_metadata(known).items() if key not in _OF_A_SITE and value != ""}
    return {**cleaned, "title": cleaned.get("title") or PurePosixPath(name).stem}
