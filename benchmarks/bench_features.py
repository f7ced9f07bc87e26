"""Features: CPU-seconds per video-second of this project beside the reference's way of working, in one run.

Weights are the untrained ones on both sides, model loading is left out on both sides. Runs are interleaved; the table
has medians and the smallest and largest value. The reference's stages are printed beside what they took where the
reference extractor itself was measured (AMD Zen 4, 2 cores, busy): only where they agree does the ratio say something
of it.

    python -m benchmarks.bench_features                                  # all three, on a video that it renders
    python -m benchmarks.bench_features --only scaling                   # one worker and two
    python -m benchmarks.bench_features --only memory --minutes 60       # two clips of half an hour side by side
    python -m benchmarks.bench_features VIDEO.mp4 --device cuda          # what `make bench-gpu` runs
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import imageio_ffmpeg
import pyarrow as pa

from benchmarks.cpu_time import measure
from benchmarks.limits import tell
from datasets.ids import make_clip_id
from datasets.tables import add_common_columns, write_part
from features.clip_features import Encoders, featurize_clips, load_encoders
from features.encoders.engines import num_cores
from features.frames.decoding import decode_clip
from features.settings import FeatureSettings

WEIGHTS = "untrained"
CLIP_SECONDS = (10, 16, 21)
"""Lengths that the reference extractor was measured on."""
MOST_OF_REFERENCE, LEAST_DECODED, LEAST_SCALING, MOST_GB, MOST_DEVIATION = 0.31, 24, 1.8, 1.5, 20
"""What was asked for: ratio in bf16, video-seconds decoded a CPU-second, 2 workers to 1, peak, % off a stage."""
Measured = tuple[float, float, float]
"""CPU-seconds, wall seconds, CPU-seconds of other programs meanwhile."""


def render_video(path: Path, seconds: int) -> None:
    """640x360, 30 fps, H.264 High 838 kb/s, GOP 150, 2 B-frames, noisy testsrc2; AAC. Longer than 60 s: repeated."""
    picture = f"testsrc2=s=640x360:r=30:d={min(60, seconds)},noise=alls=12:allf=t"
    video = ["-c:v", "libx264", "-profile:v", "high", "-b:v", "838k", "-g", "150", "-keyint_min", "150"]
    video += ["-sc_threshold", "0", "-bf", "2", "-pix_fmt", "yuv420p", "-threads", "1"]
    sound = ["-f", "lavfi", "-i", f"sine=f=440:r=44100:d={min(60, seconds)}"]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    once = path.with_name("once.mp4")
    subprocess.run([*ffmpeg, "-f", "lavfi", "-i", picture, *sound, *video, "-c:a", "aac", str(once)], check=True)
    loop = ["-stream_loop", str(max(0, seconds // 60 - 1)), "-i", str(once), "-c", "copy", str(path)]
    subprocess.run([*ffmpeg, *loop], check=True)


def make_clips(path: str, lengths_s: tuple[int, ...]) -> pa.Table:
    ends = [sum(lengths_s[: index + 1]) * 1000 for index in range(len(lengths_s))]
    starts = [end - length * 1000 for end, length in zip(ends, lengths_s, strict=True)]
    ids = [make_clip_id("bench", start, end) for start, end in zip(starts, ends, strict=True)]
    paths, videos = [path] * len(ids), ["bench"] * len(ids)
    return pa.table({"clip_id": ids, "video_id": videos, "start_ms": starts, "end_ms": ends, "media_path": paths})


def run_ours(clips: pa.Table, encoders: Encoders, settings: FeatureSettings, num_workers: int = 1) -> None:
    """Clips to Parquet as the flow does it: each worker is a thread that takes the next batch, here of one clip."""
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(num_workers) as workers:
        batches = [clips.slice(index, 1) for index in range(clips.num_rows)]
        list(workers.map(lambda batch: write_features(root, batch, encoders, settings), batches))


def write_features(root: str, batch: pa.Table, encoders: Encoders, settings: FeatureSettings) -> None:
    for name, table in featurize_clips(batch, encoders, settings).items():
        write_part(root, name, add_common_columns(table, recipe="bench", run_id="bench"))


def compare_ways(video: str, given: argparse.Namespace) -> None:
    from benchmarks.reference_features import STAGES, Reference  # loads torch, which the other parts must not hold

    clips, seconds = make_clips(video, CLIP_SECONDS), sum(CLIP_SECONDS)
    reference = Reference(clips, tuple(given.size), given.device)
    with tempfile.TemporaryDirectory() as folder:
        silent = make_clips(copy_without_sound(video, Path(folder)), CLIP_SECONDS)
        runs: dict[str, Callable[[], None]] = {
            "decode, both": lambda: decode_all(silent),
            "decode, both and audio": lambda: decode_all(clips),
        }
        for precision in ("fp32", "bf16"):
            settings, encoders = load_ours(precision, given.device)
            run_ours(clips.slice(0, 1), encoders, settings)  # warm
            done = encoders.encoder_3d.precision
            name = f"ours, asked {precision}, did {done}"
            runs[name] = lambda e=encoders, s=settings: run_ours(clips, e, s, num_cores())
        runs["reference's way, fp32"] = reference.run
        results: dict[str, list[Measured]] = {name: [] for name in runs}
        for _ in range(given.repeats):
            for name, run in runs.items():
                results[name].append(measure(run))
    report(results, seconds)
    report_stages(reference.stages, STAGES, seconds)


def load_ours(precision: str, device: str) -> tuple[FeatureSettings, Encoders]:
    settings = FeatureSettings(precision=precision, weights_2d=WEIGHTS, weights_3d=WEIGHTS, device=device)
    return settings, load_encoders(settings)


def copy_without_sound(video: str, folder: Path) -> str:
    """The picture alone, not encoded anew."""
    silent = str(folder / "silent.mp4")
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*ffmpeg, "-i", video, "-an", "-c", "copy", silent], check=True)
    return silent


def decode_all(clips: pa.Table) -> None:
    for clip in clips.to_pylist():
        decode_clip(clip["media_path"], clip["start_ms"], clip["end_ms"])


def report(results: dict[str, list[Measured]], seconds: int) -> None:
    reference = statistics.median(cpu for cpu, _, _ in results["reference's way, fp32"])
    print(f"{'per video-second':<30}{'CPU-s':>8}{'smallest..largest':>20}{'wall':>8}{'others':>8}{'ratio':>8}")
    medians = {}
    for name, values in results.items():
        cpu = [value / seconds for value, _, _ in values]
        medians[name], wall, others = (statistics.median(column) / seconds for column in zip(*values, strict=True))
        spread, ratio = f"{min(cpu):.3f}..{max(cpu):.3f}", medians[name] * seconds / reference
        print(f"{name:<30}{medians[name]:>8.3f}{spread:>20}{wall:>8.3f}{others:>8.3f}{ratio:>8.2f}")
    print(f"{len(values)} repeats; 'others' is the CPU time of other programs meanwhile")
    tell("decode, both", 1 / medians["decode, both"], "video-s a CPU-s", at_least=LEAST_DECODED)
    for name, median in medians.items():
        if name.endswith("bf16"):
            tell("bf16 beside the reference", median * seconds / reference, "of its CPU-s", at_most=MOST_OF_REFERENCE)


def report_stages(stages: dict[str, list[float]], on_zen4: dict[str, tuple[float, ...]], seconds: int) -> None:
    """Each stage beside the account's figures of it; within the limit of one of them it is the account's stage."""
    print(f"\n{'stage of the reference':<30}{'CPU-s':>8}   its account, and how far off")
    nearest = {}
    for name, values in stages.items():
        here = statistics.median(values) / seconds
        off = [100 * (here / account - 1) for account in on_zen4[name]]
        told = "; ".join(f"{account:.4f} ({far:+.0f} %)" for account, far in zip(on_zen4[name], off, strict=True))
        print(f"{name:<30}{here:>8.4f}   {told or 'not in it'}")
        nearest |= {name: min(map(abs, off))} if off else {}
    for name, far in nearest.items():
        tell(f"{name}, from its nearest time on Zen 4", far, "%", at_most=MOST_DEVIATION)


def compare_workers(video: str, given: argparse.Namespace) -> None:
    """Wall time of one worker and of two on the same clips, in turns."""
    clips = make_clips(video, (4,) * 12)
    settings, encoders = load_ours(given.precision, given.device)
    run_ours(clips.slice(0, 1), encoders, settings)
    runs: dict[int, list[Measured]] = {1: [], 2: []}
    for _ in range(given.repeats):
        for num_workers, measured in runs.items():
            measured.append(measure(partial(run_ours, clips, encoders, settings, num_workers)))
    walls = {}
    for num_workers, measured in runs.items():
        cpu, walls[num_workers], others = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{num_workers} workers, {encoders.encoder_3d.precision}: {walls[num_workers]:.2f} s wall, ", end="")
        print(f"{cpu:.2f} CPU-s, other programs {others:.2f} CPU-s")
    tell("2 workers beside 1", walls[1] / walls[2], "times as fast", at_least=LEAST_SCALING)


def measure_memory(video: str, given: argparse.Namespace) -> None:
    """Peak of loading both encoders and of two workers with a clip each, of half the minutes."""
    with peak_gb() as peak:
        settings, encoders = load_ours(given.precision, given.device)
    done = encoders.encoder_3d.precision
    tell(f"loading in {done}, the process that converts included", peak[0], "GB", at_most=MOST_GB)
    with peak_gb() as peak:
        run_ours(make_clips(video, (given.minutes * 30,) * 2), encoders, settings, 2)
    tell(f"{done}, 2 clips of {given.minutes / 2:g} min side by side", peak[0], "GB", at_most=MOST_GB)


@contextmanager
def peak_gb() -> Iterator[list[float]]:
    """The most memory of this process and its children meanwhile, pages that several share counted once."""
    peak, is_over = [0.0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.05):
            children = [task.read_text().split() for task in Path("/proc/self/task").glob("*/children")]
            pids = ["self", *(pid for found in children for pid in found)]
            peak[0] = max(peak[0], sum(map(proportional_gb, pids)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield peak
    is_over.set()
    watcher.join()


def proportional_gb(pid: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e6


PARTS = {"ways": compare_ways, "scaling": compare_workers, "memory": measure_memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", help="at least 48 s long; rendered when not given")
    parser.add_argument("--only", choices=PARTS, help="all of them when not given; on a GPU the ways")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="of scaling and memory")
    parser.add_argument("--minutes", type=int, default=10, help="of memory")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360), metavar=("WIDTH", "HEIGHT"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = given.video
        if video is None:
            video = str(Path(folder) / "video.mp4")
            render_video(Path(video), 60 if given.only in ("ways", "scaling") else given.minutes * 60)
        if given.only or given.device != "cpu":
            PARTS[given.only or "ways"](video, given)
            return
        for part in PARTS:  # a process each, so that the memory is of one
            print(f"\n## {part}", flush=True)
            subprocess.run(
                [sys.executable, "-m", "benchmarks.bench_features", video, *sys.argv[1:], "--only", part], check=True
            )


if __name__ == "__main__":
    main()
