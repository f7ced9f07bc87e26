"""A root of a few videos, its tables written directly: quick, and without media."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.schemas import list_of_vectors
from datasets.splits.certificate import split_certificate, write_certificate
from datasets.splits.pins import write_pins
from datasets.splits.pool import DrawRequest
from datasets.tables import add_common_columns, make_table, read_table, record_run, write_part

# What the manifest of a release keeps, of stages that this root never ran.
CONFIG: dict[str, Any] = {
    "source": {"name": "site"},
    "selection": {"language": "ja"},
    "download": {},
    "speech": {"engine": "fast"},
    "clips": {"min_ms": 5000, "max_ms": 50_000, "bridge_gap_ms": 700, "too_long": "drop"},
    "splits": {"train": 6, "val": 3, "test": 3},
    "features": {"encoder_2d": "small"},
}
FACTS: dict[str, Any] = {"funnel": [], "losses": [], "choices": [], "num_choice_videos": 0}
RUN: dict[str, Any] = {"code_version": "test", "config": CONFIG}
SPLITS = {"train": 2, "val": 1, "test": 1}


def video_name(number: int) -> str:
    return f"video-{number:05d}"


def make_root(root: Path, clips_per_video: int = 3, splits: dict[str, int] | None = None, seed: int = 1) -> str:
    """Tables of a root; `splits`: videos of each split. Equal arguments give equal tables."""
    assignment = [split for split, count in (splits or SPLITS).items() for _ in range(count)]
    videos = {video_name(number): split for number, split in enumerate(assignment)}
    clips = [
        {"clip_id": make_clip_id(v, s, s + 6000), "video_id": v, "start_ms": s, "end_ms": s + 6000, "speech_ms": 5500}
        for v in videos
        for s in range(0, clips_per_video * 7000, 7000)
    ]
    drawn = [{"clip_id": c["clip_id"], "video_id": c["video_id"], "split": videos[c["video_id"]]} for c in clips]
    _write(root, "discoveries", [{"query": "肉じゃが", "video_id": v, "rank": n} for n, v in enumerate(videos)])
    _write(root, "videos", [_video(v, n) for n, v in enumerate(videos)])
    _write(root, "media", [_media(v) for v in videos])
    _write(root, "clips", clips)
    _write(root, "splits", drawn)
    write_features(root, clips, seed)
    certify(root)
    return str(root)


def certify(root: Path | str) -> None:
    """The certificate of the splits there are."""
    splits = read_table(root, "splits", ["clip_id", "video_id", "split"])
    sizes = {row["values"]: row["counts"] for row in splits["split"].value_counts().to_pylist()}
    clips = read_table(root, "clips", ["clip_id", "video_id", "status"])
    write_pins(root, splits)
    write_certificate(root, split_certificate(splits, clips, DrawRequest(sizes, 0, pinned=splits)))


def _write(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    write_part(root, name, make_table(name, [{**OK, **row} for row in rows], recipe=f"{name}-recipe", run_id="test"))


def _video(video_id: str, number: int) -> dict[str, Any]:
    is_free = number % 2 == 0
    return {
        "video_id": video_id,
        "source": "site",
        "url": f"http://127.0.0.1:1234/watch?v={video_id}",
        "title": f"肉じゃが {number}",
        "channel_id": f"UCchannel-{number // 2}",
        "license": "Creative Commons Attribution license (reuse allowed)" if is_free else None,
    }


def _media(video_id: str) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "media_path": f"aa/{video_id}.mp4",
        "num_bytes": 1000,
        "sha256": "0" * 64,
        "format_id": "18",
        "duration_ms": 60_000,
        "fetched_at": datetime(2026, 1, 2, tzinfo=UTC),
    }


def write_features(root: Path | str, clips: list[dict[str, Any]], seed: int = 1) -> None:
    """Random features of some clips: 4 numbers a 2D row, 6 a 3D row, 600 log-mel frames."""
    rng = np.random.default_rng(seed)
    n = len(clips)
    shapes = {
        "features_2d": (6, 4, pa.float16()),
        "features_3d": (9, 6, pa.float16()),
        "log_mel": (600, 40, pa.float32()),
    }
    for name, (num_rows, dim, kind) in shapes.items():
        flat = rng.normal(size=n * num_rows * dim).astype(kind.to_pandas_dtype())
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, kind), dim)
        values = pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * num_rows), vectors)
        columns: dict[str, Any] = {"values": values.cast(list_of_vectors(dim, kind))}
        if name == "log_mel":
            columns["num_frames"] = pa.array([num_rows] * n, pa.int32())
        else:
            step_ms = 6000 // num_rows
            times = [[clip["start_ms"] + step_ms * row for row in range(num_rows)] for clip in clips]
            columns["row_start_ms"] = pa.array(times, pa.list_(pa.int64()))
        if name == "features_3d":
            columns["num_valid_frames"] = pa.array([16] * n, pa.int32())
        _write_features(root, name, clips, columns)
    pooled = {
        f"pooled_{k}": pa.array(list(rng.random((n, d), np.float32)), pa.list_(pa.float32()))
        for k, d in (("2d", 4), ("3d", 6))
    }
    _write_features(root, "pooled", clips, pooled)


def _write_features(root: Path | str, name: str, clips: list[dict[str, Any]], columns: dict[str, Any]) -> None:
    keys = {key: pa.array([clip[key] for clip in clips]) for key in ("clip_id", "video_id")}
    outcome = {key: pa.array([OK[key]] * len(clips), pa.string()) for key in ("status", "reason", "detail")}
    table = pa.table({**keys, **columns, **outcome})
    write_part(root, name, add_common_columns(table, recipe=f"{name}-recipe", run_id="test"))
    encoder = {"name": "small", "weights_sha256": "1" * 64, "trained": False, "engine": "none", "precision": "fp32"}
    extra = {"encoder": encoder} if name in ("features_2d", "features_3d") else {}
    record_run(root, name, f"{name}-recipe", {"config": CONFIG, **extra})
