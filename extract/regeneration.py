"""What became of a clip list: which of its clips can be cut, and whose media are not what they were. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.media import END_TOLERANCE_MS
from datasets.outcomes import OK, VIDEO_REASONS, Policy, Status, failed
from extract.clip_lists import ClipListError, read_list
from extract.lists.trees import SPLITS

Row = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """What lists name: videos in their order, and clips, each once."""

    name: str
    video_ids: tuple[str, ...]
    clips: tuple[Row, ...]
    skipped: tuple[Row, ...] = ()
    """Clips that cannot be, as rows that say so."""
    descriptions: tuple[str, ...] = ()
    """How each list was read."""


def read_listing(lists: Iterable[str]) -> Listing:
    """Read clip lists as one.

    Args:
        lists: each a path, or SPLIT=PATH for a list whose entries name no split.

    Raises:
        ClipListError: not readable, a split that is none of ours, or a clip in two splits.
    """
    video_ids: dict[str, None] = {}
    clips: dict[str, Row] = {}
    skipped: dict[str, Row] = {}
    names, descriptions = [], []
    for item in lists:
        split, path = take_split(item)
        found = read_list(path, split)
        names.append(Path(path).name)
        descriptions.append(f"{path}: {found.describe()}")
        video_ids |= dict.fromkeys(found.video_ids)
        skipped |= {row["clip_id"]: row for row in found.skipped}
        for clip in found.clips:
            if clip["split"] not in SPLITS.values():
                raise ClipListError(f"{path}: split must be train, val or test, got {clip['split']!r}: give SPLIT=PATH")
            if (known := clips.setdefault(clip["clip_id"], clip)["split"]) != clip["split"]:
                raise ClipListError(
                    f"{path}: the clip {clip['clip_id']} is in two splits, {known} and {clip['split']}: keep it in one"
                )
    if not video_ids and not skipped:
        raise ClipListError(f"{', '.join(names)}: names no video")
    name = "regenerate " + " ".join(names)
    return Listing(name, tuple(video_ids), tuple(clips.values()), tuple(skipped.values()), tuple(descriptions))


def take_split(item: str) -> tuple[str | None, str]:
    """(split, path) of SPLIT=PATH; (None, path) of what is a path alone."""
    split, separator, path = item.partition("=")
    is_split = separator and split in (*SPLITS, *SPLITS.values()) and not Path(item).exists()
    return (split, path) if is_split else (None, item)


def settle_clip(clip: Mapping[str, Any], media: Mapping[str, Any] | None) -> Row | None:
    """Row of `clips` for a listed clip; None while its video may still come.

    Args:
        clip: what the list says.
        media: what became of the video: `status`, `reason`, of media `duration_ms`; None before it was tried.
    """
    if media is None or (media["status"] != Status.OK and VIDEO_REASONS[media["reason"]] != Policy.NEVER):
        return None
    names = ("clip_id", "video_id", "start_ms", "end_ms")
    row = {name: clip[name] for name in names} | {"speech_ms": clip.get("speech_ms")}
    if media["status"] != Status.OK:
        return row | failed("video_gone", media["reason"])
    media_ms = media.get("duration_ms")
    if media_ms is not None and clip["end_ms"] > media_ms + END_TOLERANCE_MS:
        return row | failed("clip_past_end", f"clip ends at {clip['end_ms']} ms, media lasts {media_ms} ms")
    return row | OK


def compare_media(video_id: str, clips: Iterable[Mapping[str, Any]], media: Mapping[str, Any] | None) -> Row | None:
    """Row of `regenerations` for a listed video; None before it was tried.

    `is_same_media` is None where the list says nothing about media or the video is gone. Bytes are compared where the
    list has them, else the format.
    """
    if media is None:
        return None
    clips = list(clips)
    first = clips[0] if clips else {}
    listed = {"listed_format_id": first.get("format_id"), "listed_sha256": first.get("media_sha256")}
    row = {"video_id": video_id, "num_clips": len(clips), **listed}
    if media["status"] != Status.OK:
        return row | {name: media[name] for name in ("status", "reason", "detail")}
    found = {"format_id": media["format_id"], "sha256": media["sha256"]}
    compared = next((name for name in ("sha256", "format_id") if listed[f"listed_{name}"] is not None), None)
    is_same = None if compared is None else bool(listed[f"listed_{compared}"] == found[compared])
    return row | found | {"is_same_media": is_same, **OK}
