"""A root as large as asked, without media: tables as a run leaves them when half of the work is done."""

import math
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.schemas import TABLES
from datasets.tables import record_run, write_part

CLIPS_PER_VIDEO = 10
RECIPE = "r"
# Items a part, as the flows write them; but no feature table of a benchmark's root has more than so many parts.
VIDEOS_PER_PART, VIDEOS_PER_CLIP_PART, CLIPS_PER_PART, MAX_PARTS = 50, 2000, 200, 20_000


def video_ids(num_videos: int) -> pa.Array:
    return pc.utf8_lpad(pa.array(np.arange(num_videos)).cast(pa.string()), 11, "v")


def clips_of(ids: pa.Array) -> dict[str, pa.Array]:
    """clip_id, video_id, start_ms and end_ms of ten clips of 20 s each."""
    names = pa.array(np.repeat(ids.to_numpy(zero_copy_only=False), CLIPS_PER_VIDEO))
    start = pa.array(np.tile(np.arange(CLIPS_PER_VIDEO, dtype=np.int64) * 30_000, len(ids)))
    digits = [pc.utf8_lpad(values.cast(pa.string()), 9, "0") for values in (start, pc.add(start, 20_000))]
    clip_ids = pc.binary_join_element_wise(names, *digits, "_")
    return {"clip_id": clip_ids, "video_id": names, "start_ms": start, "end_ms": pc.add(start, 20_000)}


def make_root(root: Path, num_videos: int) -> None:
    """discoveries and videos; media, segmentations and pooled features of the first half; clips of all."""
    ids = video_ids(num_videos)
    half = ids[: num_videos // 2]
    found = {"query": pa.repeat("q", num_videos), "video_id": ids, "rank": pa.array(np.arange(num_videos) % 200)}
    duration = pa.repeat(pa.scalar(300_000, pa.int64()), num_videos)
    # Nobody needs this root after a power cut.
    with mock.patch.object(os, "fsync"):
        _write(root, "discoveries", found, 4000)
        _write(root, "videos", {"video_id": ids, "duration_ms": duration}, VIDEOS_PER_PART)
        _write(root, "media", {"video_id": half, "media_path": pc.binary_join_element_wise(half, "mp4", ".")}, 50)
        _write(root, "segmentations", {"video_id": half, "duration_ms": duration[: len(half)]}, VIDEOS_PER_PART)
        for start in range(0, num_videos, VIDEOS_PER_CLIP_PART):
            _write(root, "clips", clips_of(ids.slice(start, VIDEOS_PER_CLIP_PART)), 10**9)
        per_part = max(CLIPS_PER_PART, CLIPS_PER_VIDEO * len(half) // MAX_PARTS)
        for start in range(0, len(half), VIDEOS_PER_CLIP_PART):
            done = clips_of(half.slice(start, VIDEOS_PER_CLIP_PART))
            _write(root, "pooled", {name: done[name] for name in ("clip_id", "video_id")}, per_part)


def _write(root: Path, name: str, columns: dict[str, pa.Array], rows_per_part: int) -> None:
    table = _fill(name, columns)
    first_key = columns[TABLES[name].key[-1]]
    for number in range(math.ceil(table.num_rows / rows_per_part)):
        start = number * rows_per_part
        write_part(root, name, table.slice(start, rows_per_part), [f"{first_key[start]}"])
    record_run(root, name, RECIPE, {"config": {}})


def _fill(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    """A table of the schema, all rows ok, null where nothing is given."""
    n, schema = len(next(iter(columns.values()))), TABLES[name].schema
    common = {"status": "ok", "recipe": RECIPE, "run_id": "bench", "attempt": 0}
    given = columns | {key: pa.repeat(pa.scalar(value, schema.field(key).type), n) for key, value in common.items()}
    filled = [
        given[field.name].cast(field.type) if field.name in given else pa.nulls(n, field.type) for field in schema
    ]
    return pa.table(filled, schema=schema)
