"""Features: CPU-seconds per video-second of this project beside the reference's way of working, in one run.

The reference's way, written anew: one ffmpeg process for the 1 fps frames, one for the 24 fps frames, one for the
sound, whole videos as float32, eager fp32 torch in batches of 64. Weights are the untrained ones on both sides, model
loading is left out on both sides. Runs are interleaved; the table has medians and the smallest and largest value.

    python -m benchmarks.bench_features VIDEO.mp4 --seconds 20 --repeats 3 --precision bf16
    python -m benchmarks.bench_features VIDEO.mp4 --device cuda          # what `make bench-gpu` runs
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import torch

from datasets.ids import make_clip_id
from datasets.tables import add_common_columns, write_part
from features.audio import log_mel
from features.clip_features import Encoders, featurize_clips, load_encoders
from features.decoded import scaled_size
from features.encoders import ENCODERS
from features.frames import decode_clip
from features.settings import FeatureSettings
from features.weights import untrained_weights

CLIP_MS = 10_000
WEIGHTS = "untrained"


def cpu_seconds() -> float:
    """Of this process and its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def make_clips(path: str, seconds: int) -> pa.Table:
    starts = list(range(0, seconds * 1000, CLIP_MS))
    ends = [min(start + CLIP_MS, seconds * 1000) for start in starts]
    ids = [make_clip_id("bench", start, end) for start, end in zip(starts, ends, strict=True)]
    paths, videos = [path] * len(ids), ["bench"] * len(ids)
    return pa.table({"clip_id": ids, "video_id": videos, "start_ms": starts, "end_ms": ends, "media_path": paths})


def run_ours(clips: pa.Table, encoders: Encoders, settings: FeatureSettings) -> None:
    with tempfile.TemporaryDirectory() as root:
        for name, table in featurize_clips(clips, encoders, settings).items():
            write_part(root, name, add_common_columns(table, recipe="bench", run_id="bench"))


def load_eager(name: str, device: str) -> torch.nn.Module:
    spec = ENCODERS[name]
    network = spec.build()
    network.load_state_dict(untrained_weights({key: value.shape for key, value in network.state_dict().items()}))
    return spec.features(network).eval().to(device)


def read_raw(path: str, clip: dict[str, int], *arguments: str) -> bytes:
    cut = ["-ss", str(clip["start_ms"] / 1000), "-t", str((clip["end_ms"] - clip["start_ms"]) / 1000)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *cut, "-i", path, *arguments, "pipe:"]
    return subprocess.run(command, check=True, capture_output=True, timeout=600).stdout


def run_reference(clips: pa.Table, size: tuple[int, int], nets: dict[str, torch.nn.Module], device: str) -> None:
    for clip in clips.to_pylist():
        path = clip["media_path"]
        wide, high = scaled_size(*size, 224)
        small_wide, small_high = scaled_size(*size, 112)
        crop = f"crop=112:112:{int((small_wide - 112) / 2)}:{int((small_high - 112) / 2)}"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
        data = read_raw(path, clip, "-filter_complex", f"fps=1,scale={wide}:{high}", *raw)
        frames = np.frombuffer(data, np.uint8).reshape(-1, high, wide, 3)
        encode_eager(nets["resnet152"], torch.from_numpy(frames.copy()).movedim(-1, 1).float() / 255, device)
        data = read_raw(path, clip, "-filter_complex", f"fps=24,scale={small_wide}:{small_high},{crop}", *raw)
        frames = np.frombuffer(data, np.uint8).reshape(-1, 112, 112, 3)
        padded = np.concatenate([frames, np.zeros((-len(frames) % 16, 112, 112, 3), np.uint8)])
        windows = torch.from_numpy(padded.reshape(-1, 16, 112, 112, 3)).movedim(-1, 1).float()
        encode_eager(nets["resnext101_3d"], windows, device)
        sound = read_raw(path, clip, "-vn", "-ac", "1", "-ar", "16000", "-f", "f32le")
        log_mel(np.frombuffer(sound, np.float32))


def encode_eager(network: torch.nn.Module, inputs: torch.Tensor, device: str) -> None:
    with torch.inference_mode():
        for start in range(0, len(inputs), 64):
            network(inputs[start : start + 64].to(device)).cpu()


def measure(run: Callable[[], None], seconds: int) -> tuple[float, float]:
    """(CPU-seconds, wall seconds) per video-second."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    run()
    return (cpu_seconds() - cpu) / seconds, (time.perf_counter() - wall) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360), metavar=("WIDTH", "HEIGHT"))
    given = parser.parse_args()
    clips = make_clips(given.video, given.seconds)
    nets = {name: load_eager(name, given.device) for name in ("resnet152", "resnext101_3d")}
    common = {"weights_2d": WEIGHTS, "weights_3d": WEIGHTS, "device": given.device}
    settings = {name: FeatureSettings(precision=name, **common) for name in dict.fromkeys(("fp32", given.precision))}
    ours = {name: load_encoders(one) for name, one in settings.items()}
    runs: dict[str, Callable[[], None]] = {"decode": lambda: decode_all(clips)}
    for name, encoders in ours.items():
        run_ours(clips.slice(0, 1), encoders, settings[name])  # compiles
        done = encoders.encoder_3d.precision
        runs[f"ours, asked {name}, did {done}"] = lambda n=name: run_ours(clips, ours[n], settings[n])
    runs["reference's way, fp32"] = lambda: run_reference(clips, tuple(given.size), nets, given.device)
    report({name: [] for name in runs}, runs, given)


def decode_all(clips: pa.Table) -> None:
    for clip in clips.to_pylist():
        decode_clip(clip["media_path"], clip["start_ms"], clip["end_ms"])


def report(
    results: dict[str, list[tuple[float, float]]], runs: dict[str, Callable[[], None]], given: argparse.Namespace
) -> None:
    for _ in range(given.repeats):
        for name, run in runs.items():
            results[name].append(measure(run, given.seconds))
    reference = statistics.median(cpu for cpu, _ in results["reference's way, fp32"])
    print(f"{'':<32}{'CPU-s per video-s':>20}{'smallest..largest':>20}{'wall':>8}{'ratio':>8}")
    for name, values in results.items():
        cpu = [value for value, _ in values]
        middle, wall = statistics.median(cpu), statistics.median(value for _, value in values)
        spread = f"{min(cpu):.3f}..{max(cpu):.3f}"
        print(f"{name:<32}{middle:>20.3f}{spread:>20}{wall:>8.3f}{middle / reference:>8.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB, {given.repeats} repeats")


if __name__ == "__main__":
    main()
