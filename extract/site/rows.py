"""yt-dlp's metadata as rows of the tables discoveries, videos and media; and the record of a complete file. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets.outcomes import OK
from extract.container import MediaInfo
from extract.language import gather_evidence
from extract.selection import SelectionSettings, to_ms
from extract.site.formats import Format
from extract.sources import SourceSettings, public_url

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
    row: Row = {"video_id": video_id, "source": source.name, "url": public_url(video_id, source)}
    row |= {name: metadata.get(name) for name in names}
    row["content_notice"] = metadata.get("modified_content_notice")
    row |= {"duration_ms": to_ms(metadata.get("duration")), "discovered_at": datetime.now(UTC)}
    if selection.language is not None:
        row |= asdict(gather_evidence(metadata, selection.language))
    return row


def make_media(
    video_id: str, path: Path, num_bytes: int, sha256: str, chosen: Sequence[Format], found: MediaInfo
) -> Row:
    """Row of `media`, without the outcome columns.

    Args:
        video_id: the video.
        path: the final path; the row holds it relative to the media root.
        num_bytes: of the complete file.
        sha256: of its content.
        chosen: the formats it was made from. Their codec strings say more than the file's.
        found: what the file says of itself.
    """
    codecs = {
        name: next((item[name] for item in chosen if item.get(name) not in (None, "none")), None)
        for name in ("vcodec", "acodec")
    }
    return {
        "video_id": video_id,
        "media_path": str(Path(*path.parts[-2:])),
        "num_bytes": num_bytes,
        "sha256": sha256,
        "format_id": "+".join(str(item["source_format_id"]) for item in chosen),
        "video_codec": codecs["vcodec"] or found.video_codec,
        "audio_codec": codecs["acodec"] or found.audio_codec,
        "width": found.width,
        "height": found.height,
        "fps": found.fps,
        "duration_ms": found.duration_ms,
        "audio_language": next(item.get("language") for item in chosen if item.get("acodec") != "none"),
        "is_original_audio": True,
        "audio_track": found.audio_track,
    }


def make_record(video: Row, media: Row, recipes: Row) -> Row:
    """What lies beside a complete media file, in JSON's types."""
    video = {name: value for name, value in video.items() if name != "discovered_at"}
    return {"recipes": recipes, "video": video, "media": media, "fetched_at": datetime.now(UTC).isoformat()}


def known_video(record: Row) -> Row:
    """The row of `videos` that a record keeps."""
    return {**record["video"], "discovered_at": datetime.fromisoformat(record["fetched_at"])}


def known_media(record: Row) -> Row:
    """The row of `media` that a record keeps."""
    return {**record["media"], **OK, "fetched_at": datetime.fromisoformat(record["fetched_at"])}
