"""Search, metadata and download of videos, as rows; the engine is behind `extract.site.worker`."""

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets.outcomes import MEDIA_REASONS, OK, MediaError, Policy, TransientError, dropped, failed
from datasets.settings import recipe_of
from datasets.tombstones import is_tombstoned
from extract.media_store import (
    DiskFullError,
    check_room,
    keep_media,
    media_path,
    prepare_media_root,
    read_record,
    remove_media,
)
from extract.selection import TAKE_ALL, SelectionSettings, select, select_by_speech
from extract.site.answers import Answer, Step, Turn
from extract.site.pacer import Pacer
from extract.site.reasons import TRANSIENT, clean_detail
from extract.site.rows import Row, known_media, known_video, make_discovery, make_record, make_video
from extract.site.settings import DownloadSettings as DownloadSettings
from extract.site.worker import ask, make_ready
from extract.sources import SOURCES, SourceSettings, public_url, watch_url

logger = logging.getLogger(__name__)


def search_videos(query: str, depth: int, source: SourceSettings, pacer: Pacer | None = None) -> list[Row]:
    """The first `depth` results of a query, without a request for each video.

    Args:
        query: what to search for; for the source `ids` an id, or the address of a channel or playlist.
        depth: most results taken.
        source: the site.
        pacer: waits for its turn and is told the outcome.

    Returns:
        Rows of the table `discoveries`, ranks from 1, each video once.

    Raises:
        TransientError: rate_limited, bot_check, network.
        ValueError: yt-dlp failed in a way that a later try will not mend.
    """
    entries: Any = SOURCES[source.name].find(query, depth, source)
    if isinstance(entries, str):  # an address to list
        address = entries
        found = ask(Step(_take_turn(pacer, source, DownloadSettings(), depth), "list_entries", address))
        entries, outcome = found.result, _settle(found, pacer)
        if outcome is not None:
            raise ValueError(f"search {address!r}: {outcome['reason']}: {outcome['detail']}")
        if pacer is not None:
            pacer.observe(None)
    rows: dict[str, Row] = {}
    for entry in entries:
        video_id = str(entry.get("id") or "")
        try:
            watch_url(video_id, source)
        except ValueError:
            logger.warning("search result without a usable id: %r", video_id[:80])
            continue
        rows.setdefault(video_id, make_discovery(query, video_id, len(rows) + 1, entry))
    return list(rows.values())[:depth]


def fetch_recipes(source: SourceSettings, selection: SelectionSettings, download: DownloadSettings) -> dict[str, str]:
    """Recipes of the tables that `fetch_video` fills: another selection asks for metadata again, not for media."""
    return {"videos": recipe_of(source, selection, download), "media": recipe_of(source, download)}


def fetch_video(
    video_id: str,
    media_root: str | Path,
    source: SourceSettings,
    selection: SelectionSettings,
    download: DownloadSettings,
    pacer: Pacer | None = None,
    tombstones: frozenset[str] = frozenset(),
) -> tuple[Row, Row | None]:
    """Metadata, selection and, if the video is wanted, its media: one request chain.

    A complete file of an earlier, killed run is taken as it is. A channel of `tombstones` (hashed ids) shows only in
    the metadata; of its videos nothing but the id and the reason is kept.

    Returns:
        (row of `videos`, row of `media`). The media row is None when a rule dropped the video or when not even its
        metadata could be had; the row of `videos` then has the reason. It has the reason of a failed download too,
        unless that is final.

    Raises:
        TransientError: network, rate_limited, bot_check: what was received stays, the next try goes on from there.
        ValueError: `video_id` is none, or the file system folds case.
    """
    url = watch_url(video_id, source)
    prepare_media_root(media_root)
    record = read_record(media_root, video_id)
    recipes = fetch_recipes(source, selection, download)
    if record is not None and record.get("recipes") == recipes:
        if is_tombstoned(tombstones, "channel", record["video"].get("channel_id")):
            return _tombstoned(video_id, source), None
        return known_video(record), known_media(record)
    has_media = record is not None and record.get("recipes", {}).get("media") == recipes["media"]
    identity = {"video_id": video_id, "source": source.name, "url": public_url(video_id, source)}
    if not has_media and (full := _lack_of_room(media_root, download)):
        return {**identity, **full}, None
    turn = _take_turn(pacer, source, download, media_root=media_root, video_id=video_id)
    found = ask(Step(turn, "extract", url))
    metadata, outcome = found.result, _settle(found, pacer)
    if outcome is not None:
        return {**identity, **outcome}, None
    if is_tombstoned(tombstones, "channel", metadata.get("channel_id")):
        return _tombstoned(video_id, source), None
    video = make_video(video_id, metadata, source, selection)
    rejected = select(metadata, selection)
    if rejected is not None:
        return {**video, **rejected}, None
    if record is not None and has_media:
        return _listen(video, media_path(media_root, video_id), known_media(record), selection, media_root)
    return _fetch_media(Step(turn, "download_media", metadata, found.warnings), video, selection, recipes, pacer)


def _fetch_media(
    step: Step, video: Row, selection: SelectionSettings, recipes: dict[str, str], pacer: Pacer | None
) -> tuple[Row, Row | None]:
    """The rows of a wanted video once its media came, or did not."""
    found = ask(step)
    media, outcome = found.result, _settle(found, pacer)
    if outcome is not None:
        # What may be mended is to be found again by who reads `videos` to see what is left.
        is_final = MEDIA_REASONS[outcome["reason"]] == Policy.NEVER
        failure = {"video_id": video["video_id"], **outcome, "fetched_at": datetime.now(UTC)}
        return {**video, **(OK if is_final else outcome)}, failure
    if pacer is not None:  # not sooner: a page that is shown while its media are refused ends no refusal
        pacer.observe(None)
    assert found.partial is not None
    video, kept = _listen(video, found.partial, media, selection, step.turn.media_root)
    if kept is None:
        return video, None
    record = make_record(video, media, recipes)
    keep_media(found.partial, step.turn.media_root, step.turn.video_id, record)
    return video, known_media(record)


def _listen(
    video: Row, path: Path, media: Row, selection: SelectionSettings, media_root: str | Path
) -> tuple[Row, Row | None]:
    """The rows of a complete file; without media, and with the file deleted, where another language is spoken."""
    try:
        heard, rejected = select_by_speech(path, selection, media.get("audio_track"))
    except MediaError as error:
        heard, rejected = {}, failed(error.reason, clean_detail(str(error)))
    if rejected is None:
        return {**video, **heard, **OK}, media
    remove_media(media_root, video["video_id"])
    return {**video, **heard, **rejected}, None


def check_video(video_id: str, source: SourceSettings, download: DownloadSettings, pacer: Pacer | None = None) -> Row:
    """Ask whether a video can still be had: its metadata only.

    Returns:
        The outcome columns: ok, or the reason why not.

    Raises:
        TransientError: network, rate_limited, bot_check: nothing was learned.
        ValueError: `video_id` is none.
    """
    url = watch_url(video_id, source)
    found = ask(Step(_take_turn(pacer, source, download, video_id=video_id), "extract", url))
    outcome = _settle(found, pacer)
    if outcome is not None:
        return outcome
    if pacer is not None:
        pacer.observe(None)
    return select(found.result, TAKE_ALL) or OK


def _tombstoned(video_id: str, source: SourceSettings) -> Row:
    return {"video_id": video_id, "source": source.name, **dropped("tombstoned", "its channel")}


def _take_turn(
    pacer: Pacer | None,
    source: SourceSettings,
    download: DownloadSettings,
    depth: int | None = None,
    media_root: str | Path = "",
    video_id: str = "",
) -> Turn:
    """Wait until the pacer allows one more video or search; its clock starts then."""
    if download.cookies_file is not None and not download.cookies_file.is_file():
        raise ValueError(f"download.cookies_file: no such file: {download.cookies_file}")
    make_ready()
    if pacer is not None:
        pacer.acquire()
    pause_s = pacer.request_pause_s if pacer is not None else 0.0
    deadline = time.monotonic() + download.timeout_s
    return Turn(source, download, deadline, depth, pause_s, str(media_root), video_id)


def _lack_of_room(media_root: str | Path, download: DownloadSettings) -> Row | None:
    """The outcome of a video for which there is no room at all: not even its page is asked for."""
    try:
        check_room(media_root, 0, download.min_free_bytes, download.max_total_bytes)
    except DiskFullError as error:
        return failed(error.reason, error.detail)
    return None


def _settle(found: Answer, pacer: Pacer | None) -> Row | None:
    """The outcome columns of a step without a result, told to the pacer; None of one with. Raises TransientError."""
    if found.reason is None:
        return None
    if pacer is not None:
        pacer.observe(found.reason, found.http_status, found.retry_after_s)
    if found.reason in TRANSIENT:
        raise TransientError(found.reason, found.detail)
    return failed(found.reason, found.detail)
