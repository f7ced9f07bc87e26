"""Find near-duplicates among many videos with fingerprints of two minutes; every tenth video is a copy.

Run: python -m benchmarks.bench_duplicates [num_videos]
"""

import sys
import time

import numpy as np
import pyarrow as pa

from benchmarks.limits import peak_gigabytes
from datasets.splits.duplicates import DuplicateSettings, find_duplicates

ITEMS = 940
COPY_SHARE = 0.1
BIT_ERROR_RATE = 0.05
COMMON_ITEMS = 40
"""Each fingerprint holds so many of 200 items that all share, as silence and jingles do."""


def make_fingerprints(num_videos: int) -> tuple[pa.Table, int]:
    """Random fingerprints, some noisy copies with up to 8 s cut off; and the number of copies."""
    rng = np.random.default_rng(0)
    items = rng.integers(0, 1 << 32, (num_videos, ITEMS), dtype=np.uint32)
    common = rng.integers(0, 1 << 32, 200, dtype=np.uint32)
    items[:, 400 : 400 + COMMON_ITEMS] = common[rng.integers(0, 200, (num_videos, COMMON_ITEMS))]
    duration_ms = rng.lognormal(np.log(400_000), 0.6, num_videos).astype(np.int64)
    num_copies = int(num_videos * COPY_SHARE)
    for copy, source in enumerate(rng.permutation(np.arange(num_copies, num_videos))[:num_copies]):
        cut = int(rng.integers(0, 65))
        flips = np.packbits(rng.random((ITEMS, 32)) < BIT_ERROR_RATE, axis=1).view("<u4")[:, 0]
        items[copy] = np.roll(items[source], -cut) ^ flips
        duration_ms[copy] = duration_ms[source] - cut * 124
    binary = pa.FixedSizeBinaryArray.from_buffers(pa.binary(ITEMS * 4), num_videos, [None, pa.py_buffer(items)])
    chunked = pa.chunked_array(
        [binary.slice(start, 100_000).cast(pa.binary()) for start in range(0, num_videos, 100_000)]
    )
    video_id = pa.array([f"v{number:010d}" for number in range(num_videos)])
    return pa.table({"video_id": video_id, "duration_ms": duration_ms, "fingerprint": chunked}), num_copies


def main(num_videos: int) -> None:
    fingerprints, num_copies = make_fingerprints(num_videos)
    start, cpu_start = time.perf_counter(), time.process_time()
    pairs = find_duplicates(fingerprints, DuplicateSettings())
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    print(f"{num_videos:,} videos, {num_copies:,} of them copies; {pairs.num_rows:,} pairs found")
    print(f"{seconds:.1f} s ({cpu_seconds:.1f} of CPU); peak of the process {peak_gigabytes():.2f} GB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
