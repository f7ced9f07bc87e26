"""Everything that a root's tables know of one video or clip."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from datasets.releases.layout import find_video, list_releases, release_path
from datasets.schemas import TABLES
from datasets.suggestions import did_you_mean
from datasets.tables import list_parts, read_table
from datasets.tombstones import is_tombstoned, read_tombstones
from datasets.wording import format_number
from extract.sources import video_id_of
from flows.config import Config, ConfigError

Row = dict[str, Any]
_CLIP_ID = re.compile(r"(?P<video_id>.+)_[0-9]{9}_[0-9]{9}")
# Vectors and what only machines read.
_LEFT_OUT = frozenset({"values", "pooled_2d", "pooled_3d", "fingerprint", "row_start_ms", "recipe", "run_id", "best"})
_MOST_ROWS = 8


def read_item(config: Config, item: str) -> dict[str, list[Row]]:
    """Rows of every table about a video or a clip, of a clip its video's too.

    Args:
        config: names the root, and where its media lie.
        item: id of a video or a clip, or a watch address.

    Returns:
        Rows by table, without vectors; `files` and `releases` beside them where there are any.

    Raises:
        ConfigError: no table holds the id; names the one most like it.
    """
    clip = _CLIP_ID.fullmatch(item)
    video_id = clip["video_id"] if clip else (video_id_of(item) or item)
    found = {name: _find_rows(config.root, name, video_id, item if clip else None) for name in TABLES}
    found = {name: rows for name, rows in found.items() if rows}
    if is_tombstoned(read_tombstones(config.root), "video", video_id):
        found["tombstones"] = [{"video_id": video_id, "is": "taken down: it is never fetched again"}]
    if not found:
        videos = read_table(config.root, "discoveries", ["video_id"])["video_id"].unique().to_pylist()
        raise ConfigError(f"no table of {config.root} holds the id {item!r}{did_you_mean(video_id, videos)}")
    paths = [config.media_root / row["media_path"] for row in found.get("media", []) if row["media_path"]]
    for path in paths:
        link = f", a link to {path.resolve()}" if path.is_symlink() else ""  # of somebody's own material
        there = f"{'there' if path.is_file() else 'not there'}{link}"
        found.setdefault("files", []).append({"path": str(path), "is": there})
    versions = list_releases(config.root) if "://" not in config.root and Path(config.root).is_dir() else []
    for version in versions:
        clips = [
            c for c in find_video(release_path(config.root, version), video_id)[0] if c["clip_id"] == item or not clip
        ]
        if clips:
            found.setdefault("releases", []).append({"version": version, "clips": len(clips)})
    return found


def _find_rows(root: str, name: str, video_id: str, clip_id: str | None) -> list[Row]:
    """Rows of one table: of the clip where the table is of clips, else of the video."""
    own = [column.name for column in TABLES[name].schema if column.name not in _LEFT_OUT]
    if not {"clip_id", "video_id"} & set(own) or not list_parts(root, name):
        return []
    table = read_table(root, name, own)
    if clip_id is not None and "clip_id" in own:
        chosen = pc.equal(table["clip_id"], clip_id)
    else:
        keys = [pc.equal(table[key], video_id) for key in ("video_id", "copy_id") if key in own]
        chosen = keys[0] if len(keys) == 1 else pc.or_(*keys)
    order = [(key, "ascending") for key in TABLES[name].key if not pa.types.is_list(table[key].type)]
    rows: list[Row] = table.filter(chosen).sort_by(order).to_pylist()
    return rows


def describe_item(found: dict[str, list[Row]]) -> pd.DataFrame:
    """`read_item` on one screen: a line a row, the first of each table; what else there is of a clip in its line."""
    clips = [{**row, "split": None, "has": []} for row in found.get("clips", [])]
    by_id, folded = {clip["clip_id"]: clip for clip in clips}, {**found, "clips": clips}
    for name in (name for name in found if name not in ("clips", "ranks")):
        for row in [row for row in found[name] if row.get("clip_id") in by_id and row["status"] == "ok"]:
            clip = by_id[row["clip_id"]]
            if name == "splits":
                clip["split"] = row["split"]
            elif name == "transcripts":
                clip["words"] = row["text"]
            else:
                clip["has"].append(name)
        folded[name] = [row for row in found[name] if row.get("clip_id") not in by_id or row["status"] != "ok"]
    lines = []
    for name, rows in folded.items():
        if name == "segments":
            counts = Counter(row["label"] for row in rows)
            lines.append((name, ", ".join(f"{count} {label}" for label, count in counts.most_common())))
            continue
        lines += [(name if not place else "", _describe_row(row)) for place, row in enumerate(rows[:_MOST_ROWS])]
        if len(rows) > _MOST_ROWS:
            lines.append(("", f"... and {len(rows) - _MOST_ROWS:,} more: --json prints all"))
    return pd.DataFrame(lines, columns=["table", "what it says"])


def _describe_row(row: Row) -> str:
    """`ok` or the reason first, then what is known, times in seconds."""
    told = []
    if row.get("status"):
        reason = f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]
        told.append(f"{reason} ({row['detail']})" if row["detail"] else reason)
    for name, value in row.items():
        if (
            value in (None, [], "")
            or name in ("status", "reason", "detail", "video_id")
            or (name, value) == ("attempt", 0)
        ):
            continue
        if name.endswith("_ms"):
            name, value = name.removesuffix("_ms"), f"{value / 1000:,.3f} s"
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        elif name == "sha256":
            value = f"{value[:12]}..."
        elif name == "num_bytes":
            name, value = "size", f"{value / 1e6:,.1f} MB"
        told.append(f"{name} {format_number(value) if isinstance(value, float) else value}")
    return "; ".join(told)
