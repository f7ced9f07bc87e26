"""What bookkeeping costs as a root grows, and the exponent of the growth: 1 is linear.

    python -m benchmarks.bench_growth [LARGEST]     sizes 1,000, 10,000 ... LARGEST videos, ten clips each

plan: which videos are left to do when half are done, cut into batches. anti-join: the same for clips. splits: a draw of
the paper's sizes. status: the funnel. listing: the names of all parts, before and after compaction.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.compaction import compact_table
from datasets.schemas import TABLES
from datasets.splits import draw_splits
from datasets.tables import list_parts, record_run, subtract, table_digest, write_part
from flows.batches import cut_batches
from flows.status import read_funnel

CLIPS_PER_VIDEO = 10
VIDEOS_PER_PART = 50
# No part of a benchmark's root is larger; a root of a million videos has 20,000 parts of each table.
MAX_PARTS = 2000


def video_ids(num_videos: int) -> pa.Array:
    return pc.utf8_lpad(pa.array(np.arange(num_videos)).cast(pa.string()), 11, "v")


def rows_of(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    """A table of the schema, null where not given."""
    n = len(next(iter(columns.values())))
    common = {"status": "ok", "recipe": "r", "run_id": "bench", "attempt": 0}
    schema = TABLES[name].schema
    given = columns | {key: pa.repeat(pa.scalar(value, schema.field(key).type), n) for key, value in common.items()}
    return pa.table([given.get(field.name, pa.nulls(n, field.type)) for field in schema], schema=schema)


def write_parts(root: Path, name: str, table: pa.Table, num_parts: int) -> None:
    size = math.ceil(table.num_rows / num_parts)
    for start in range(0, table.num_rows, size):
        write_part(root, name, table.slice(start, size), [f"{name} {start}"])
    record_run(root, name, "r", {"config": {}})


def make_root(root: Path, num_videos: int) -> pa.Table:
    """videos, media and segmentations (half done) and clips; the clips."""
    ids, parts = video_ids(num_videos), min(MAX_PARTS, max(1, num_videos // VIDEOS_PER_PART))
    duration = pa.repeat(pa.scalar(300_000, pa.int64()), num_videos)
    write_parts(root, "videos", rows_of("videos", {"video_id": ids, "duration_ms": duration}), parts)
    write_parts(root, "media", rows_of("media", {"video_id": ids[: num_videos // 2]}), parts)
    names = pa.array(np.repeat(ids.to_numpy(zero_copy_only=False), CLIPS_PER_VIDEO))
    start = pa.array(np.tile(np.arange(CLIPS_PER_VIDEO, dtype=np.int64) * 30_000, num_videos))
    digits = [pc.utf8_lpad(values.cast(pa.string()), 9, "0") for values in (start, pc.add(start, 20_000))]
    clip_ids = pc.binary_join_element_wise(names, *digits, "_")
    clips = {"clip_id": clip_ids, "video_id": names, "start_ms": start, "end_ms": pc.add(start, 20_000)}
    write_parts(root, "clips", rows_of("clips", clips), parts)
    return pa.table({"clip_id": clip_ids, "video_id": names})


def seconds_of(work: Callable[[], object]) -> float:
    """Median of three; of one where it takes over ten seconds."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
        if took[-1] > 10:
            break
    return float(np.median(took))


def measure(num_videos: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        clips = make_root(root, num_videos)
        videos = pa.table({"video_id": video_ids(num_videos)})
        paper = {"train": 10_000, "val": 3_000, "test": 3_000}
        share = min(1.0, clips.num_rows / 17_000)
        sizes = {split: int(size * share * 0.9) for split, size in paper.items()}
        took = {
            "plan": seconds_of(lambda: cut_batches(subtract(videos, root, "media", "r")[0], VIDEOS_PER_PART)),
            "anti-join": seconds_of(lambda: subtract(clips, root, "clips", "r")),
            "splits": seconds_of(lambda: draw_splits(clips, sizes, seed=0)),
            "status": seconds_of(lambda: read_funnel(str(root))),
            "listing": seconds_of(lambda: list_parts(root, "clips")),
        }
        digest, began = table_digest(root, "clips"), time.perf_counter()
        before, after = compact_table(root, "clips")
        took["compact"] = time.perf_counter() - began
        assert table_digest(root, "clips") == digest
        took["anti-join after"] = seconds_of(lambda: subtract(clips, root, "clips", "r"))
        print(f"{num_videos:,} videos: {before} parts of clips compacted to {after}", flush=True)
        return took


def main(largest: int) -> None:
    sizes = [10**power for power in range(3, 7) if 10**power <= largest]
    found = [measure(size) for size in sizes]
    print("| step | " + " | ".join(f"{size:,} videos" for size in sizes) + " | exponent of the last tenfold |")
    print("|---" * (len(sizes) + 2) + "|")
    for step in found[0]:
        took = [one[step] for one in found]
        exponent = f"{math.log10(took[-1] / took[-2]):.2f}" if len(took) > 1 else ""
        print(f"| {step} | " + " | ".join(f"{seconds:.3f} s" for seconds in took) + f" | {exponent} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
