"""yt-dlp's metadata as rows of the tables discoveries and videos. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from datasets.schemas import OK
from extract.language import gather_evidence
from extract.selection import SelectionSettings
from extract.sources import SourceSettings, watch_url

Row = dict[str, Any]


def make_discovery(query: str, video_id: str, rank: int, entry: Mapping[str, Any]) -> Row:
    """Row of `discoveries` from one search result."""
    return {
        "query": query,
        "video_id": video_id,
        "rank": rank,
        "title": entry.get("title"),
        "duration_ms": to_ms(entry.get("duration")),
        "view_count": entry.get("view_count"),
        **OK,
    }


def make_video(video_id: str, metadata: Mapping[str, Any], source: SourceSettings, selection: SelectionSettings) -> Row:
    """Row of `videos` from full metadata, without the outcome columns; scores for the language asked for."""
    names = ("title", "channel_id", "upload_date", "view_count", "license")
    row: Row = {"video_id": video_id, "source": source.name, "url": watch_url(video_id, source)}
    row |= {name: metadata.get(name) for name in names}
    row |= {"duration_ms": to_ms(metadata.get("duration")), "discovered_at": datetime.now(UTC)}
    if selection.language is not None:
        row |= asdict(gather_evidence(metadata, selection.language))
    return row


def to_ms(seconds: Any) -> int | None:
    """Seconds, as yt-dlp gives them, to whole milliseconds; None stays None."""
    return None if seconds is None else round(float(seconds) * 1000)
