"""What changed between two releases: clips and videos that came, went or moved, counted by reason."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.schemas import Status
from datasets.tables import read_table
from datasets.tombstones import hash_id, read_tombstones

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
    before = {row["clip_id"]: row for row in old.to_pylist()} if old is not None else {}
    after = {row["clip_id"]: row for row in new.to_pylist()}
    old_videos = {row["video_id"] for row in before.values()}
    new_videos = {row["video_id"] for row in after.values()}
    gone = [row for clip_id, row in before.items() if clip_id not in after]
    why = _read_why(root, gone) if gone else _nowhere
    lost = {row["video_id"]: why(row, "video") for row in gone if row["video_id"] not in new_videos}
    added = Counter(
        "new_clip" if row["video_id"] in old_videos else "new_video"
        for clip_id, row in after.items()
        if clip_id not in before
    )
    return {
        "added": {"clips": dict(added), "videos": _count("new_video", len(new_videos - old_videos))},
        "removed": {
            "clips": dict(Counter(why(row, "clip") for row in gone)),
            "videos": dict(Counter(lost.values())),
        },
        "moved": sum(before[clip_id]["split"] != row["split"] for clip_id, row in after.items() if clip_id in before),
        "removed_videos": {hash_id("video", video_id): reason for video_id, reason in sorted(lost.items())},
    }


def _count(reason: str, number: int) -> dict[str, int]:
    return {reason: number} if number else {}


def _nowhere(row: Row, kind: str) -> str:
    return "no_longer_found"


def _read_why(root: str | Path, gone: list[Row]) -> Callable[[Row, str], str]:
    """A function from a removed clip's row to why it, or its video, is gone: the first of the tables that knows."""
    tombstones = read_tombstones(root)
    ids = pa.array(sorted({row["video_id"] for row in gone}), pa.string())
    settled: dict[str, str] = {}
    for name in ("media", "videos"):
        settled |= _reasons(root, name, "video_id", ids)
    clips = _reasons(root, "clips", "video_id", ids, key="clip_id")
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


def _reasons(root: str | Path, name: str, match: str, ids: pa.Array, key: str | None = None) -> dict[str, str]:
    """{key: its reason, or "ok"} of the rows of a table that belong to `ids`."""
    table = read_table(root, name, [*dict.fromkeys([match, key or match]), "status", "reason"])
    rows = table.filter(pc.is_in(table[match], ids)).to_pylist()
    return {row[key or match]: row["reason"] or row["status"] for row in rows}


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
