"""Search, metadata and download of videos, as rows; the engine is behind `extract.ytdlp_session`."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets.schemas import MEDIA_REASONS, OK, Policy, TransientError, failed
from datasets.settings import recipe_of
from extract.download_settings import DownloadSettings as DownloadSettings
from extract.formats import NoFormatError
from extract.limits import LimitError
from extract.media import MediaError
from extract.media_store import (
    DiskFullError,
    IncompleteMediaError,
    keep_media,
    prepare_media_root,
    read_record,
)
from extract.pacer import Pacer
from extract.reasons import TRANSIENT, classify, clean_detail
from extract.selection import SelectionSettings, select
from extract.sources import SOURCES, SourceSettings, watch_url
from extract.video_rows import Row, known_media, known_video, make_discovery, make_record, make_video
from extract.ytdlp_session import EngineError, Session, open_session

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
    found = SOURCES[source.name].find(query, depth, source)
    entries = found if isinstance(found, list) else _list(found, depth, source, pacer)
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


def _list(address: str, depth: int, source: SourceSettings, pacer: Pacer | None) -> list[dict[str, Any]]:
    session = open_session(source, DownloadSettings(), depth)
    if pacer is not None:
        pacer.acquire()
    session.begin()
    entries, outcome = _attempt(lambda: session.list_entries(address), session, pacer)
    if entries is None:
        raise ValueError(f"search {address!r}: {outcome['reason']}: {outcome['detail']}" if outcome else address)
    found: list[dict[str, Any]] = entries
    return found


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
) -> tuple[Row, Row | None]:
    """Metadata, selection and, if the video is wanted, its media: one request chain.

    A complete file of an earlier, killed run is taken as it is.

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
        return known_video(record), known_media(record)
    session = open_session(source, download)
    if pacer is not None:
        pacer.acquire()
    session.begin(media_root, video_id)
    metadata, outcome = _attempt(lambda: session.extract(url), session, pacer)
    if metadata is None:
        return {"video_id": video_id, "source": source.name, "url": url, **(outcome or {})}, None
    video = make_video(video_id, metadata, source, selection)
    rejected = select(metadata, selection)
    if rejected is not None:
        return {**video, **rejected}, None
    if record is not None and record.get("recipes", {}).get("media") == recipes["media"]:
        return {**video, **OK}, known_media(record)
    media, outcome = _attempt(lambda: session.download_media(metadata), session, pacer)
    if media is None:
        outcome = outcome or {}
        # What may be mended is to be found again by who reads `videos` to see what is left.
        is_final = MEDIA_REASONS[outcome["reason"]] == Policy.NEVER
        failure = {"video_id": video_id, **outcome, "fetched_at": datetime.now(UTC)}
        return {**video, **(OK if is_final else outcome)}, failure
    return _keep(session, {**video, **OK}, media, recipes)


def _keep(session: Session, video: Row, media: Row, recipes: Row) -> tuple[Row, Row]:
    assert session.partial is not None
    record = make_record(video, media, recipes)
    keep_media(session.partial, session.media_root, session.video_id, record)
    return video, known_media(record)


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
    except (EngineError, OSError) as error:
        reason, detail = classify(error, session.warnings)
    else:
        if pacer is not None:
            pacer.observe(None)
        return result, None
    finally:
        session.release()
    if pacer is not None:
        pacer.observe(reason)
    if reason in TRANSIENT:
        raise TransientError(reason, detail)
    return None, failed(reason, detail)
