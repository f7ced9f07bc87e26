"""What bookkeeping costs as a root grows, and the exponent of the growth: 1 is linear.

    python -m benchmarks.bench_growth [LARGEST] [--plot benchmarks/growth.png]

Sizes 1,000, 10,000 ... LARGEST videos, ten clips each, each size in a process of its own. Half of the work is done, in
parts as small as the flows write them (a million videos: 20,000 parts of videos). Steps:

plan: everything a run reads before its first download, segmentation and feature: what is found, less what is done, cut
into batches. anti-join: all clips less those that have features. splits: a draw of the paper's sizes. status: the
funnel, the failures and the share of surprises; again: with what the first kept of its counts. publish: the changes
between two releases of all clips. listing: the names of the parts of videos. compaction: of videos; plan, status and
listing again after every table was compacted.

Seconds are of CPU, since other programs move them less; those of the wall stand beside them at the largest size. The
exponent is the slope of log seconds over log videos from 10,000 videos on.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.growth_root import CLIPS_PER_PART, CLIPS_PER_VIDEO, RECIPE, VIDEOS_PER_PART, make_root
from benchmarks.limits import tell
from datasets.compaction import COMPACTED, compact_table
from datasets.releases.changes import compare_releases
from datasets.resuming import subtract
from datasets.splits.draw import draw_splits
from datasets.tables import list_parts, read_table, table_digest
from flows.config import Config
from flows.machinery.batches import cut_batches, left_to_do
from flows.machinery.run import Run, media_table
from flows.stages.download import rank_videos
from flows.status import read_failures, read_frame, read_funnel, unexpected_share

LIMITS = {
    "plan": (60.0, 6.0),
    "plan, compacted": (60.0, 6.0),
    "status, compacted": (10.0, 6.0),
    "status again": (10.0, 6.0),
}
"""Wall seconds and GB that are asked for at a million videos, ten million clips."""
WORST_EXPONENT = 1.25
LARGE = 100_000
"""Below it costs that do not grow hide the exponent."""
Cost = dict[str, float]


def plan(root: Path) -> int:
    """The number of batches of downloads, segmentations and features that are left."""
    run = Run(Config(root=str(root)), "bench")
    downloads = cut_batches(left_to_do(rank_videos(run), run, "media", RECIPE), VIDEOS_PER_PART)
    speech = cut_batches(left_to_do(media_table(run), run, "segmentations", "new"), VIDEOS_PER_PART)
    clips = read_table(root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"])
    features = cut_batches(left_to_do(clips, run, "pooled", RECIPE), CLIPS_PER_PART)
    return len(downloads) + len(speech) + len(features)


def status(root: str) -> None:
    read_funnel(root)
    read_failures(root)
    unexpected_share(root)


def publish(root: Path, clips: pa.Table) -> None:
    """Two releases of all clips but a hundredth, another one each."""
    rows = clips.append_column("split", pa.repeat("train", clips.num_rows))
    rows = rows.append_column("channel_hash", pa.repeat("c", clips.num_rows))
    some = max(1, rows.num_rows // 100)
    compare_releases(rows.slice(0, rows.num_rows - some), rows.slice(some), root)


def peak_gb(reset: bool = False) -> float:
    """Most memory of this process, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e6 for line in lines if line.startswith("VmHWM"))


def cost_of(work: Callable[[], object], repeats: int = 3) -> Cost:
    """Medians of CPU and wall seconds, and the peak of the process; once where it takes over five seconds."""
    peak_gb(reset=True)
    took = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        took.append((time.process_time() - cpu, time.perf_counter() - wall))
        if took[-1][1] > 5:
            break
    cpu_s, wall_s = np.median(took, axis=0)
    return {"cpu_s": float(cpu_s), "wall_s": float(wall_s), "gb": peak_gb()}


def measure(num_videos: int) -> dict[str, Cost]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_root(root, num_videos)
        share = min(1.0, CLIPS_PER_VIDEO * num_videos / 17_000)
        sizes = {split: int(size * share * 0.9) for split, size in (("train", 10_000), ("val", 3000), ("test", 3000))}
        costs = {"plan": cost_of(partial(plan, root))}
        clips = read_table(root, "clips", ["clip_id", "video_id"])
        costs["anti-join"] = cost_of(partial(subtract, clips, root, "pooled", RECIPE))
        costs["splits"] = cost_of(partial(draw_splits, clips, sizes, seed=0))
        costs["publish"] = cost_of(partial(publish, root, clips))
        del clips
        costs["status"] = cost_of(partial(status, str(root)), repeats=1)
        costs["status again"] = cost_of(partial(status, str(root)))
        costs["a page's frame"] = cost_of(partial(read_frame, str(root), "clips", ["video_id", "start_ms"]), repeats=1)
        costs["listing"] = cost_of(partial(list_parts, root, "videos"))
        digest, before = table_digest(root, "videos"), len(list_parts(root, "videos"))
        costs["compaction"] = cost_of(partial(compact_table, root, "videos"), repeats=1)
        assert table_digest(root, "videos") == digest
        for table in COMPACTED:
            compact_table(root, table)
        costs["plan, compacted"] = cost_of(partial(plan, root))
        costs["status, compacted"] = cost_of(partial(status, str(root)), repeats=1)
        costs["status again, compacted"] = cost_of(partial(status, str(root)))
        costs["listing, compacted"] = cost_of(partial(list_parts, root, "videos"))
        after = len(list_parts(root, "videos"))
        print(f"{num_videos:,} videos: {before:,} parts of videos compacted to {after}", file=sys.stderr, flush=True)
        return costs


def measure_apart(num_videos: int) -> dict[str, Cost]:
    command = [sys.executable, "-m", "benchmarks.bench_growth", str(num_videos), "--one"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True)
    costs: dict[str, Cost] = json.loads(done.stdout)
    return costs


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of the straight line through log seconds over log sizes, from 10,000 videos on where there are two."""
    points = [(math.log(n), math.log(max(s, 1e-4))) for n, s in zip(sizes, seconds, strict=True)]
    points = points[1:] if len(points) > 2 else points
    return float(np.polyfit(*zip(*points, strict=True), 1)[0]) if len(points) > 1 else float("nan")


def report(sizes: list[int], found: list[dict[str, Cost]]) -> None:
    print("| step, CPU seconds | " + " | ".join(f"{size:,} videos" for size in sizes) + " | exponent |")
    print("|---" * (len(sizes) + 2) + "|")
    for step in found[0]:
        seconds = [costs[step]["cpu_s"] for costs in found]
        print(f"| {step} | " + " | ".join(f"{s:.3f}" for s in seconds) + f" | {exponent(sizes, seconds):.2f} |")
    if sizes[-1] >= LARGE:
        print()
        for step in found[0]:
            slope = exponent(sizes, [costs[step]["cpu_s"] for costs in found])
            tell(f"exponent of {step}", slope, "(1 is linear)", at_most=WORST_EXPONENT)
    if sizes[-1] == 1_000_000:
        for step, (seconds, gigabytes) in LIMITS.items():
            tell(f"{step} a million videos", found[-1][step]["wall_s"], "s", at_most=seconds)
            tell(f"{step} a million videos, peak", found[-1][step]["gb"], "GB", at_most=gigabytes)
    print(f"\n| step at {sizes[-1]:,} videos | wall seconds | peak of the process, GB | limit |\n|---|---|---|---|")
    for step, cost in found[-1].items():
        limit = "{:.0f} s, {:.0f} GB at 1,000,000".format(*LIMITS[step]) if step in LIMITS else ""
        print(f"| {step} | {cost['wall_s']:.2f} | {cost['gb']:.2f} | {limit} |")


def draw(sizes: list[int], found: list[dict[str, Cost]], path: Path) -> None:
    """Seconds over videos, both in powers of ten; a dashed line is linear."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    for step, marker in zip(found[0], "osD^vP*Xd<>hp", strict=False):
        seconds = [costs[step]["cpu_s"] for costs in found]
        label = f"{step} ({exponent(sizes, seconds):.2f})"
        axes.loglog(sizes, seconds, marker=marker, label=label, linestyle=":" if "compacted" in step else "-")
    linear = found[-1]["plan"]["cpu_s"] / sizes[-1]
    axes.loglog(sizes, [linear * size for size in sizes], "--", color="grey", label="linear")
    axes.set(xlabel="videos (ten clips each)", ylabel="CPU seconds", title="Cost of each bookkeeping step (exponent)")
    axes.grid(which="major", alpha=0.4)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("largest", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", action="store_true", help="this size alone, as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.largest)))
        return
    sizes = [10**power for power in range(3, 8) if 10**power <= given.largest]
    found = [measure_apart(size) for size in sizes]
    report(sizes, found)
    if given.plot:
        draw(sizes, found, given.plot)


if __name__ == "__main__":
    main()
