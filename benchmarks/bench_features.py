"""Features: CPU-seconds per video-second of this project beside the reference's way of working, in one run.

The reference's way, written anew: one ffmpeg process for the 1 fps frames, one for the 24 fps frames, one for the
sound, whole clips as float32, eager fp32 torch in batches of 64. Weights are the untrained ones on both sides, model
loading is left out on both sides. Runs are interleaved; the table has medians and the smallest and largest value.
The reference's stages are printed beside what they took where the reference extractor itself was measured (AMD Zen 4,
2 cores): another CPU deviates, and only there a ratio proves nothing about the extractor's own speed.

    python -m benchmarks.bench_features                                  # renders its video
    python -m benchmarks.bench_features --only scaling                   # one worker and two
    python -m benchmarks.bench_features --only memory --minutes 10       # one clip so long
    python -m benchmarks.bench_features VIDEO.mp4 --device cuda          # what `make bench-gpu` runs
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import torch

from datasets.ids import make_clip_id
from datasets.tables import add_common_columns, write_part
from features.audio import log_mel
from features.clip_features import Encoders, featurize_clips, load_encoders
from features.encoder_libraries import without_head
from features.engines import num_cores
from features.filters import scaled_size
from features.frames import decode_clip
from features.networks import ENCODERS
from features.settings import FeatureSettings
from features.weights import untrained_weights

WEIGHTS = "untrained"
CLIP_SECONDS = (10, 16, 21)
"""Lengths that the reference extractor was measured on."""
STAGES = {"2D pass": 1 / 48.3, "3D pass": 1 / 22.8, "audio pass": 1 / 463, "eager 2D": 29.9 / 47, "eager 3D": 32.5 / 47}
"""CPU-seconds per video-second of the reference extractor's stages on AMD Zen 4, 2 threads (shared/reference)."""


def cpu_seconds() -> float:
    """Of this process and its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def busy_seconds() -> float:
    """CPU-seconds of the whole machine since it started."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(ticks) - ticks[3] - ticks[4]) / 100


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


def load_eager(name: str, device: str) -> torch.nn.Module:
    """The network as the reference runs it: nothing folded, plain layout."""
    network = ENCODERS[name].build()
    network.load_state_dict(untrained_weights({key: value.shape for key, value in network.state_dict().items()}))
    if name == "resnet152":
        network = without_head(network)
    return network.eval().to(device)


def read_raw(path: str, clip: dict[str, int], *arguments: str) -> bytes:
    cut = ["-ss", str(clip["start_ms"] / 1000), "-t", str((clip["end_ms"] - clip["start_ms"]) / 1000)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *cut, "-i", path, *arguments, "pipe:"]
    return subprocess.run(command, check=True, capture_output=True, timeout=600).stdout


class Reference:
    """The reference's way; the CPU-seconds of each stage are kept."""

    def __init__(self, clips: pa.Table, size: tuple[int, int], device: str) -> None:
        self.clips, self.size, self.device = clips.to_pylist(), size, device
        self.nets = {name: load_eager(name, device) for name in ("resnet152", "resnext101_3d")}
        self.stages: dict[str, list[float]] = {name: [] for name in STAGES}

    def run(self) -> None:
        """Every clip once."""
        spent = dict.fromkeys(STAGES, 0.0)
        for clip in self.clips:
            for stage, seconds in self.run_clip(clip).items():
                spent[stage] += seconds
        for stage, seconds in spent.items():
            self.stages[stage].append(seconds)

    def run_clip(self, clip: dict[str, int]) -> dict[str, float]:
        """CPU-seconds of each stage of one clip."""
        path, marks = clip["media_path"], [cpu_seconds()]
        wide, high = scaled_size(*self.size, 224)
        small_wide, small_high = scaled_size(*self.size, 112)
        crop = f"crop=112:112:{int((small_wide - 112) / 2)}:{int((small_high - 112) / 2)}"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
        data = read_raw(path, clip, "-filter_complex", f"fps=1,scale={wide}:{high}", *raw)
        marks.append(cpu_seconds())
        frames = np.frombuffer(data, np.uint8).reshape(-1, high, wide, 3)
        self.encode("resnet152", torch.from_numpy(frames.copy()).movedim(-1, 1).float() / 255)
        marks.append(cpu_seconds())
        data = read_raw(path, clip, "-filter_complex", f"fps=24,scale={small_wide}:{small_high},{crop}", *raw)
        marks.append(cpu_seconds())
        frames = np.frombuffer(data, np.uint8).reshape(-1, 112, 112, 3)
        padded = np.concatenate([frames, np.zeros((-len(frames) % 16, 112, 112, 3), np.uint8)])
        self.encode("resnext101_3d", torch.from_numpy(padded.reshape(-1, 16, 112, 112, 3)).movedim(-1, 1).float())
        marks.append(cpu_seconds())
        log_mel(np.frombuffer(read_raw(path, clip, "-vn", "-ac", "1", "-ar", "16000", "-f", "f32le"), np.float32))
        marks.append(cpu_seconds())
        return dict(zip(("2D pass", "eager 2D", "3D pass", "eager 3D", "audio pass"), np.diff(marks), strict=True))

    def encode(self, name: str, inputs: torch.Tensor) -> None:
        """Batches of 64, fp32, as they come."""
        with torch.inference_mode():
            for start in range(0, len(inputs), 64):
                self.nets[name](inputs[start : start + 64].to(self.device)).cpu()


def measure(run: Callable[[], None]) -> tuple[float, float, float]:
    """(CPU-seconds, wall seconds, CPU-seconds of other programs meanwhile)."""
    before = cpu_seconds(), time.perf_counter(), busy_seconds()
    run()
    cpu, wall, busy = cpu_seconds() - before[0], time.perf_counter() - before[1], busy_seconds() - before[2]
    return cpu, wall, max(0.0, busy - cpu)


def compare_ways(video: str, given: argparse.Namespace) -> None:
    clips, seconds = make_clips(video, CLIP_SECONDS), sum(CLIP_SECONDS)
    reference = Reference(clips, tuple(given.size), given.device)
    runs: dict[str, Callable[[], None]] = {"decode, both and audio": lambda: decode_all(clips)}
    for precision in ("fp32", "bf16"):
        settings, encoders = load_ours(precision, given.device)
        run_ours(clips.slice(0, 1), encoders, settings)  # warm
        done = encoders.encoder_3d.precision
        runs[f"ours, asked {precision}, did {done}"] = lambda e=encoders, s=settings: run_ours(clips, e, s, num_cores())
    runs["reference's way, fp32"] = reference.run
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
    for _ in range(given.repeats):
        for name, run in runs.items():
            results[name].append(measure(run))
    report(results, seconds)
    report_stages(reference.stages, seconds)


def load_ours(precision: str, device: str) -> tuple[FeatureSettings, Encoders]:
    settings = FeatureSettings(precision=precision, weights_2d=WEIGHTS, weights_3d=WEIGHTS, device=device)
    return settings, load_encoders(settings)


def decode_all(clips: pa.Table) -> None:
    for clip in clips.to_pylist():
        decode_clip(clip["media_path"], clip["start_ms"], clip["end_ms"])


def report(results: dict[str, list[tuple[float, float, float]]], seconds: int) -> None:
    reference = statistics.median(cpu for cpu, _, _ in results["reference's way, fp32"])
    print(f"{'per video-second':<30}{'CPU-s':>8}{'smallest..largest':>20}{'wall':>8}{'others':>8}{'ratio':>8}")
    for name, values in results.items():
        cpu = [value / seconds for value, _, _ in values]
        middle, wall, others = (statistics.median(column) / seconds for column in zip(*values, strict=True))
        spread = f"{min(cpu):.3f}..{max(cpu):.3f}"
        print(f"{name:<30}{middle:>8.3f}{spread:>20}{wall:>8.3f}{others:>8.3f}{middle * seconds / reference:>8.2f}")
    print(f"{len(values)} repeats; 'others' is the CPU time of other programs meanwhile")


def report_stages(stages: dict[str, list[float]], seconds: int) -> None:
    print(f"\n{'stage of the reference':<30}{'CPU-s':>8}{'on Zen 4':>10}{'deviation':>12}")
    for name, values in stages.items():
        here = statistics.median(values) / seconds
        print(f"{name:<30}{here:>8.4f}{STAGES[name]:>10.4f}{here / STAGES[name] - 1:>12.0%}")


def compare_workers(video: str, given: argparse.Namespace) -> None:
    """Wall time of one worker and of two on the same clips, in turns."""
    clips = make_clips(video, (4,) * 12)
    for precision in ("bf16", "fp32"):
        settings, encoders = load_ours(precision, given.device)
        run_ours(clips.slice(0, 1), encoders, settings)
        walls: dict[int, list[float]] = {1: [], 2: []}
        others = 0.0
        for _ in range(given.repeats):
            for num_workers, times in walls.items():
                _, wall, other = measure(partial(run_ours, clips, encoders, settings, num_workers))
                times.append(wall)
                others += other
        one, two = (statistics.median(times) for times in walls.values())
        print(f"{precision}: 1 worker {one:.2f} s, 2 workers {two:.2f} s: {one / two:.2f} times", end="; ")
        print(f"other programs {others:.1f} CPU-s")


def measure_memory(video: str, given: argparse.Namespace) -> None:
    """Peak of a process that loads both encoders and featurizes one clip as long as the video."""
    settings, encoders = load_ours(given.precision, given.device)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    run_ours(make_clips(video, (given.minutes * 60,)), encoders, settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{given.precision}, one clip of {given.minutes} min: {loaded:.2f} GB after loading, peak {peak:.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", help="at least 48 s long; rendered when not given")
    parser.add_argument("--only", choices=["ways", "scaling", "memory"], default="ways")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="of --only memory")
    parser.add_argument("--minutes", type=int, default=10, help="of --only memory")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360), metavar=("WIDTH", "HEIGHT"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = given.video
        if video is None:
            video = str(Path(folder) / "video.mp4")
            render_video(Path(video), given.minutes * 60 if given.only == "memory" else 60)
        {"ways": compare_ways, "scaling": compare_workers, "memory": measure_memory}[given.only](video, given)


if __name__ == "__main__":
    main()
