"""Draw splits from 10 million clips of 1 million videos. Asked: under 20 s and 4 GB (peak of the whole process).

Run: python -m benchmarks.bench_splits [num_videos]
"""

import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.limits import peak_gigabytes, tell
from datasets.splits.draw import draw_splits

CLIPS_PER_VIDEO = 10
MOST_SECONDS, MOST_GIGABYTES = 20, 4


def make_clips(num_videos: int) -> pa.Table:
    """Clips of `num_videos` videos, 1 to 19 each, in a random order of rows."""
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(num_videos), rng.integers(1, 2 * CLIPS_PER_VIDEO, num_videos))
    video = rng.permutation(video)
    start = pc.utf8_lpad(pa.array(np.arange(len(video))).cast(pa.string()), 9, "0")
    video_id = pc.utf8_lpad(pa.array(video).cast(pa.string()), 11, "v")
    return pa.table({"clip_id": pc.binary_join_element_wise(video_id, start, start, "_"), "video_id": video_id})


def main(num_videos: int) -> None:
    clips = make_clips(num_videos)
    channel = pa.array(np.random.default_rng(1).integers(0, num_videos // 10, num_videos)).cast(pa.string())
    videos = pc.utf8_lpad(pa.array(np.arange(num_videos)).cast(pa.string()), 11, "v")
    groups = pa.table({"video_id": videos, "channel_id": channel})
    paper = {"train": 10_000, "val": 3_000, "test": 3_000}
    large = {name: size * clips.num_rows // 17_000 for name, size in paper.items()}
    variants = {
        "paper's sizes": (paper, {}),
        "94 % of the pool": (large, {}),
        "paper's sizes, no channel in two splits": (paper, {"groups": groups}),
        "paper's sizes, at most 5 clips a video": (paper, {"max_per_video": 5}),
    }
    print(f"{clips.num_rows:,} clips of {num_videos:,} videos")
    for name, (sizes, options) in variants.items():
        start, cpu_start = time.perf_counter(), time.process_time()
        drawn = draw_splits(clips, sizes, seed=0, **options)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        print(f"{name}: {drawn.num_rows:,} drawn in {cpu_seconds:.1f} s of CPU")
        tell(name, seconds, "s", at_most=MOST_SECONDS)
    tell("peak of the process, the clips included", peak_gigabytes(), "GB", at_most=MOST_GIGABYTES)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
