"""Search, metadata and download of videos, as rows; the engine is behind `extract.site.session`."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets.outcomes import MEDIA_REASONS, OK, Policy, TransientError, dropped, failed
from datasets.settings import recipe_of
from datasets.tombstones import is_tombstoned
from extract.container import MediaError
from extract.media_store import (
    DiskFullError,
    check_room,
    keep_media,
    media_path,
    prepare_media_root,
    read_record,
    remove_media,
)
from extract.mp4 import IncompleteMediaError
from extract.selection import TAKE_ALL, SelectionSettings, select, select_by_speech
from extract.site.formats import NoFormatError
from extract.site.limits import LimitError
from extract.site.pacer import Pacer
from extract.site.reasons import TRANSIENT, classify, clean_detail
from extract.site.rows import Row, known_media, known_video, make_discovery, make_record, make_video
from extract.site.session import EngineError, Session, open_session
from extract.site.settings import DownloadSettings as DownloadSettings
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
        address, session = entries, open_session(source, DownloadSettings(), depth)
        _take_turn(session, pacer)
        entries, outcome = _attempt(lambda: session.list_entries(address), session, pacer)
        if entries is None:
            raise ValueError(f"search {address!r}: {outcome['reason']}: {outcome['detail']}" if outcome else address)
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
    session = open_session(source, download)
    _take_turn(session, pacer, media_root, video_id)
    metadata, outcome = _attempt(lambda: session.extract(url), session, pacer)
    if metadata is None:
        return {**identity, **(outcome or {})}, None
    if is_tombstoned(tombstones, "channel", metadata.get("channel_id")):
        return _tombstoned(video_id, source), None
    video = make_video(video_id, metadata, source, selection)
    rejected = select(metadata, selection)
    if rejected is not None:
        return {**video, **rejected}, None
    if record is not None and has_media:
        return _listen(video, media_path(media_root, video_id), known_media(record), selection, media_root)
    return _fetch_media(session, metadata, video, selection, recipes, pacer)


def _fetch_media(
    session: Session,
    metadata: Row,
    video: Row,
    selection: SelectionSettings,
    recipes: dict[str, str],
    pacer: Pacer | None,
) -> tuple[Row, Row | None]:
    """The rows of a wanted video once its media came, or did not."""
    media, outcome = _attempt(lambda: session.download_media(metadata), session, pacer)
    if media is None:
        outcome = outcome or {}
        # What may be mended is to be found again by who reads `videos` to see what is left.
        is_final = MEDIA_REASONS[outcome["reason"]] == Policy.NEVER
        failure = {"video_id": video["video_id"], **outcome, "fetched_at": datetime.now(UTC)}
        return {**video, **(OK if is_final else outcome)}, failure
    if pacer is not None:  # not sooner: a page that is shown while its media are refused ends no refusal
        pacer.observe(None)
    assert session.partial is not None
    video, kept = _listen(video, session.partial, media, selection, session.media_root)
    if kept is None:
        return video, None
    record = make_record(video, media, recipes)
    keep_media(session.partial, session.media_root, session.video_id, record)
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
    session = open_session(source, download)
    _take_turn(session, pacer, video_id=video_id)
    metadata, outcome = _attempt(lambda: session.extract(url), session, pacer)
    if metadata is None:
        return outcome or {}
    if pacer is not None:
        pacer.observe(None)
    return select(metadata, TAKE_ALL) or OK


def _tombstoned(video_id: str, source: SourceSettings) -> Row:
    return {"video_id": video_id, "source": source.name, **dropped("tombstoned", "its channel")}


def _take_turn(session: Session, pacer: Pacer | None, media_root: str | Path = "", video_id: str = "") -> None:
    """Wait until the pacer allows one more video or search; the session's clock starts then."""
    if pacer is not None:
        pacer.acquire()
    session.begin(media_root, video_id, pacer.request_pause_s if pacer is not None else 0.0)


def _lack_of_room(media_root: str | Path, download: DownloadSettings) -> Row | None:
    """The outcome of a video for which there is no room at all: not even its page is asked for."""
    try:
        check_room(media_root, 0, download.min_free_bytes, download.max_total_bytes)
    except DiskFullError as error:
        return failed("disk_full", str(error))
    return None


def _attempt(work: Callable[[], Any], session: Session, pacer: Pacer | None) -> tuple[Any, Row | None]:
    """(result, None), or (None, outcome columns); raises TransientError."""
    try:
        result = work()
    except (LimitError, NoFormatError) as error:
        reason, detail = error.reason, error.detail
    except MediaError as error:
        reason, detail = error.reason, clean_detail(str(error))
    except DiskFullError as error:
        reason, detail = "disk_full", str(error)
    except IncompleteMediaError as error:
        reason, detail = "network", str(error)
    except RecursionError:
        reason, detail = "bad_answer", "the site's answer is nested too deeply to be read"
    except (EngineError, OSError) as error:
        reason, detail = classify(error, session.warnings)
    else:
        return result, None
    finally:
        answer = session.http_status, session.retry_after_s
        session.release()
    if pacer is not None:
        pacer.observe(reason, *answer)
    if reason in TRANSIENT:
        raise TransientError(reason, detail)
    return None, failed(reason, detail)
