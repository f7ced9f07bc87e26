"""What changed between two releases: clips and videos that came, went or moved, counted by reason."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.outcomes import Status
from datasets.tables import read_table
from datasets.tombstones import hash_id, read_tombstones
from datasets.wide import widen

KEYS = ("clip_id", "video_id", "split", "channel_hash")
"""Columns of the metadata that a comparison reads."""

Row = dict[str, Any]


def compare_releases(old: pa.Table | None, new: pa.Table, root: str | Path) -> Row:
    """Compare the clips of two releases.

    Args:
        old: `KEYS` of the earlier release; None for the first one.
        new: `KEYS` of the later one.
        root: the dataset root, whose tables tell why a clip went.

    Returns:
        {"added": {"clips": {reason: count}, "videos": {reason: count}}, "removed": the same, "moved": clips that are
        in another split, "removed_videos": {hash of the id: reason}}. Of what was removed nothing is named.
    """
    old, new = (widen(table) for table in (old if old is not None else new.slice(0, 0), new))
    place = pc.index_in(new["clip_id"], value_set=old["clip_id"])
    came = new.filter(pc.is_null(place))
    gone = old.filter(pc.invert(pc.is_in(old["clip_id"], value_set=new["clip_id"])))
    old_videos, new_videos = old["video_id"].unique(), new["video_id"].unique()
    num_new_clips = _how_many(pc.is_in(came["video_id"], value_set=old_videos))
    stays = set(gone["video_id"].filter(pc.is_in(gone["video_id"], value_set=new_videos)).unique().to_pylist())
    rows = gone.to_pylist()
    why = _read_why(root, rows) if rows else lambda row, kind: "no_longer_found"
    lost = {row["video_id"]: why(row, "video") for row in rows if row["video_id"] not in stays}
    return {
        "added": {
            "clips": _count("new_clip", num_new_clips) | _count("new_video", came.num_rows - num_new_clips),
            "videos": _count("new_video", _how_many(pc.invert(pc.is_in(new_videos, value_set=old_videos)))),
        },
        "removed": {
            "clips": dict(Counter(why(row, "clip") for row in rows)),
            "videos": dict(Counter(lost.values())),
        },
        "moved": _how_many(pc.not_equal(old["split"].take(place), new["split"])),
        "removed_videos": {hash_id("video", video_id): reason for video_id, reason in sorted(lost.items())},
    }


def _how_many(are: pa.ChunkedArray) -> int:
    """How many are true, of values that may be null."""
    return pc.sum(are).as_py() or 0


def _count(reason: str, number: int) -> dict[str, int]:
    return {reason: number} if number else {}


def _read_why(root: str | Path, gone: list[Row]) -> Callable[[Row, str], str]:
    """A function from a removed clip's row to why it, or its video, is gone: the first of the tables that knows."""
    tombstones = read_tombstones(root)
    ids = pa.array(sorted({row["video_id"] for row in gone}), pa.string())
    settled: dict[str, str] = {}
    for name in ("media", "videos"):
        settled |= _reasons(root, name, "video_id", ids)
    clips = _reasons(root, "clips", "clip_id", ids)
    kept = {row for row, reason in clips.items() if reason == Status.OK}
    videos_with_clips = {row["video_id"] for row in gone if row["clip_id"] in kept}

    def why(row: Row, kind: str) -> str:
        if hash_id("video", row["video_id"]) in tombstones or row["channel_hash"] in tombstones:
            return "tombstoned"
        if settled.get(row["video_id"], Status.OK) != Status.OK:
            return settled[row["video_id"]]
        if row["clip_id"] in kept or (kind == "video" and row["video_id"] in videos_with_clips):
            return "not_drawn"
        return clips.get(row["clip_id"]) or ("cut_anew" if row["video_id"] in settled else "no_longer_found")

    return why


def _reasons(root: str | Path, name: str, key: str, video_ids: pa.Array) -> dict[str, str]:
    """{key: its reason, or "ok"} of a table's rows of some videos."""
    table = read_table(root, name, [*dict.fromkeys(["video_id", key]), "status", "reason"])
    rows = table.filter(pc.is_in(table["video_id"], video_ids)).to_pylist()
    return {row[key]: row["reason"] or row["status"] for row in rows}


def is_empty(changes: Mapping[str, Any]) -> bool:
    """True when no clip came, went or moved."""
    return not (changes["moved"] or any(changes[side]["clips"] for side in ("added", "removed")))


def describe_changes(changes: Mapping[str, Any]) -> list[str]:
    """One line a kind of change, for people: "removed: 12 clips, 2 videos (tombstoned 12 clips, 2 videos)"."""
    lines = []
    for side in ("added", "removed"):
        clips, videos = changes[side]["clips"], changes[side]["videos"]
        if not clips:
            continue
        reasons = [_amount(clips.get(reason, 0), videos.get(reason, 0), reason) for reason in sorted({*clips, *videos})]
        lines.append(f"{side}: {_amount(sum(clips.values()), sum(videos.values()))} ({'; '.join(reasons)})")
    if changes["moved"]:
        lines.append(f"moved to another split: {changes['moved']} clips")
    return lines


def _amount(clips: int, videos: int, reason: str = "") -> str:
    counted = f"{clips:,} clip{'s' * (clips != 1)}, {videos:,} video{'s' * (videos != 1)}"
    return f"{reason}: {counted}" if reason else counted
