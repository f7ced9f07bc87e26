"""Bookkeeping for known videos: load, subtract, choose a batch; and what features cost to write and to read at random.

Asked: 1,000,000 known videos in under 10 s and 2 GB (peak of the whole process), a random row in under 20 ms.
Run: python -m benchmarks.bench_tables [num_videos]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.limits import peak_gigabytes, tell
from datasets.resuming import subtract
from datasets.schemas import TABLES
from datasets.tables import add_common_columns, list_parts, table_digest, write_part

VIDEOS_PER_PART = 20_000
NUM_CLIPS, NUM_ROWS, NUM_DIMS = 2_000, 8, 2048


def timed(what: str, work: Callable[[], object], at_most: float | None = None) -> object:
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    if at_most is None:
        print(f"{what}: {seconds:.2f} s; peak so far {peak_gigabytes():.2f} GB", flush=True)
    else:
        tell(what, seconds, "s", at_most=at_most)
    return result


def media_table(video_ids: pa.Array, attempt: int, reason: str | None) -> pa.Table:
    """Rows of the table media for these videos."""
    n = len(video_ids)
    columns = {column.name: pa.nulls(n, column.type) for column in TABLES["media"].columns}
    columns |= {"video_id": video_ids, "num_bytes": pa.array(np.arange(n)), "sha256": pa.repeat("0" * 64, n)}
    columns["status"] = pa.repeat("failed" if reason else "ok", n)
    columns |= {"reason": pa.array([reason] * n, pa.string()), "detail": pa.nulls(n, pa.string())}
    return add_common_columns(pa.table(columns), recipe="r", run_id="run", attempt=attempt)


def write_media(root: Path, video_ids: pa.Array) -> None:
    """Every video once; every tenth failed, and half of those came right at a second attempt."""
    for start in range(0, len(video_ids), VIDEOS_PER_PART):
        ids = video_ids.slice(start, VIDEOS_PER_PART)
        tenth = ids.take(pa.array(np.arange(0, len(ids), 10)))
        rest = ids.filter(pc.invert(pc.is_in(ids, tenth)))
        again = tenth.slice(0, len(tenth) // 2)
        for part, attempt, reason in ((rest, 0, None), (tenth, 0, "network"), (again, 1, None)):
            write_part(root, "media", media_table(part, attempt, reason))


def choose_batch(root: Path, known: pa.Table) -> tuple[int, int]:
    """What a run does before its first download."""
    new, again = subtract(known, root, "media", "r", again=["network"])
    return new.sort_by("video_id").slice(0, 200).num_rows, again.num_rows


def feature_table() -> pa.Table:
    """Clips of 8 rows of 2048 float16."""
    values = np.random.default_rng(0).normal(size=NUM_CLIPS * NUM_ROWS * NUM_DIMS).astype(np.float16)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), NUM_DIMS)
    offsets = pa.array(np.arange(0, NUM_CLIPS * NUM_ROWS + 1, NUM_ROWS, dtype=np.int32))
    columns = {
        "clip_id": pa.array([f"clip{n:06d}" for n in range(NUM_CLIPS)]),
        "video_id": pa.repeat("video", NUM_CLIPS),
        "values": pa.ListArray.from_arrays(offsets, vectors),
        "row_start_ms": pa.array([list(range(NUM_ROWS))] * NUM_CLIPS, pa.list_(pa.int64())),
        "status": pa.repeat("ok", NUM_CLIPS),
        "reason": pa.nulls(NUM_CLIPS, pa.string()),
        "detail": pa.nulls(NUM_CLIPS, pa.string()),
    }
    return add_common_columns(pa.table(columns), recipe="r", run_id="run")


def read_random_rows(root: Path, num_rows: int = 50) -> list[float]:
    """Milliseconds of each of so many random rows, values as an array: a row costs the reading of its group."""
    times = []
    with pq.ParquetFile(list_parts(root, "features_2d", "r")[0]) as part:
        ends = np.cumsum([part.metadata.row_group(number).num_rows for number in range(part.num_row_groups)])
        for row in np.random.default_rng(1).integers(0, NUM_CLIPS, num_rows):
            start = time.perf_counter()
            group = int(np.searchsorted(ends, row, side="right"))
            values = part.read_row_group(group, ["values"])["values"]
            values[int(row - ends[group])].values.flatten().to_numpy(zero_copy_only=False)
            times.append((time.perf_counter() - start) * 1000)
    return times


def main(num_videos: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ids = pc.utf8_lpad(pa.array(np.arange(num_videos + 1000)).cast(pa.string()), 11, "v")
        timed(f"write {num_videos:,} media rows", lambda: write_media(root, ids.slice(0, num_videos)))
        known = pa.table({"video_id": ids})
        left = timed("load, subtract, choose a batch", lambda: choose_batch(root, known), at_most=10)
        tell("  peak of the process, writing included", peak_gigabytes(), "GB", at_most=2)
        print(f"  (new in the batch, to be done again) = {left}")
        timed("table_digest of media", lambda: table_digest(root, "media"))
        features = feature_table()
        gigabytes = features.nbytes / 1e9
        timed(f"write {gigabytes:.2f} GB of features", lambda: write_part(root, "features_2d", features))
        timed("table_digest of features_2d", lambda: table_digest(root, "features_2d"))
        times = read_random_rows(root)
        tell("random row of features, median", float(np.median(times)), "ms", at_most=20)
        print(f"  slowest {max(times):.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
