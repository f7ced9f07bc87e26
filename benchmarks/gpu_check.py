"""What a GPU does with this code, in one run of at most 480 seconds: make gpu-check, or

    python -m benchmarks.gpu_check [--device cuda] [--video FILE] [--seconds 480] [--quick] [--out data/gpu_check.json]

The JSON is written after every step, so a run that is ended still says what it found; a step for which no time is left
is named as such, and one that fails has its error. Needs torch, torchvision, numpy, pyarrow, pandas, numba, av and
pydantic only (the training loop Lightning and TensorBoard too), none of Prefect, OpenVINO or ffmpeg. It runs on a CPU
too, --quick, as a trial of itself.
"""

import argparse
import copy
import json
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from datasets.files import write_json
from features.encoders import load_encoder
from features.encoders.engines import num_cores
from features.encoders.networks import build_network
from features.encoders.torch_engine import TorchEngine, choose_device, compute_exactly
from features.frames import decode_clip
from features.frames.decoding import decode_pieces

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "features"
VIDEO = GOLDEN / "g1_426x240_2997.mp4"
GFLOP = {"resnet152": 41.21, "resnext101_3d": 19.13}
"""Of a frame of 224x398, and of a window of 16 frames of 112x199."""
SHAPES = {"resnet152": (224, 398, 3), "resnext101_3d": (16, 112, 199, 3)}
GOLDENS = {"resnet152": "2d", "resnext101_3d": "3d"}
MOST_FP32, MOST_TF32, MOST_BF16, LEAST_SHARE_OF_GEMM, LEAST_TIMES_OF_A_CORE = 1e-5, 5e-3, 5e-3, 0.6, 14
"""Relative L2 from the golden features; of the card's own bf16 GEMM rate; decoding on 16 cores."""


@dataclass(frozen=True)
class Place:
    """Where and how long to measure."""

    device: torch.device
    is_quick: bool
    video: Path

    @property
    def is_gpu(self) -> bool:
        """Else the CPU, whose figures are only a trial of this script."""
        return self.device.type == "cuda"

    def seconds(self, work: Callable[[], Any]) -> float:
        """Seconds of a call, the mean over those of about a second, after one that is not counted."""
        work()
        self.wait()
        start, calls = time.perf_counter(), 0
        while calls == 0 or (not self.is_quick and time.perf_counter() - start < 1):
            work()
            calls += 1
            if calls % 4 == 0:
                self.wait()  # a queue without end would count what is not done
        self.wait()
        return (time.perf_counter() - start) / calls

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)


def environment(place: Place) -> dict[str, Any]:
    """What was measured on."""
    found = {"python": sys.version.split()[0], "torch": torch.__version__, "cores": num_cores()}
    found |= {"machine": platform.machine(), "device": str(place.device), "cuda": torch.version.cuda}
    if place.is_gpu:
        properties = torch.cuda.get_device_properties(place.device)
        found |= {
            "gpu": properties.name,
            "gpu_gb": properties.total_memory / 1e9,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def ceilings(place: Place) -> dict[str, float]:
    """TFLOP/s of matrix products and GB/s of copies: what nothing below can exceed."""
    size = 512 if place.is_quick else 8192
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(size, size, device=place.device, dtype=dtype) for _ in range(2))
        found[f"gemm_{name}_tflops"] = 2 * size**3 / place.seconds(lambda a=left, b=right: a @ b) / 1e12
    source = torch.empty(size * size, dtype=torch.uint8, pin_memory=place.is_gpu)
    copy_s = place.seconds(lambda: source.to(place.device, non_blocking=True, copy=True))
    return {**found, "copy_to_device_gb_s": source.numel() / copy_s / 1e9}


def parity(place: Place) -> dict[str, dict[str, float]]:
    """Relative L2 of both networks' features from the golden ones, in each precision."""
    golden = np.load(GOLDEN / "features.npz")
    found: dict[str, dict[str, float]] = {}
    for name, kind in GOLDENS.items():
        frames = np.ascontiguousarray(golden[f"in{kind}_u8"].transpose(0, 2, 3, 1))
        expected = golden[f"out{kind}_f32"]
        found[name] = {}
        for precision in ("fp32", "tf32", "bf16") if place.is_gpu else ("fp32", "bf16"):
            arithmetic = "bf16" if precision == "bf16" else "fp32"
            encoder = load_encoder(name, "untrained", "torch", str(place.device), arithmetic)
            torch.backends.cudnn.allow_tf32 = precision == "tf32"  # the engine has switched it off
            error = np.linalg.norm(encoder(frames) - expected) / np.linalg.norm(expected)
            compute_exactly()
            found[name][precision if encoder.precision == arithmetic else f"{precision}, done in fp32"] = float(error)
    return found


def flag_race(place: Place) -> dict[str, int]:
    """Two engines in two threads: forwards that differ from the same batch alone. None may."""
    engines = [TorchEngine(build_network(name, "untrained")[1], place.device, "fp32") for name in SHAPES]
    windows = [random_windows(name, 2, small=True) for name in SHAPES]
    alone = [engine.run(batch) for engine, batch in zip(engines, windows, strict=True)]
    rounds = 1 if place.is_quick else 40

    def count_wrong(index: int) -> int:
        found = (engines[index].run(windows[index]) for _ in range(rounds))
        return sum(not np.array_equal(rows, alone[index]) for rows in found)

    with ThreadPoolExecutor(2) as pool:
        return {"forwards": 2 * rounds, "wrong": sum(pool.map(count_wrong, range(2)))}


def random_windows(name: str, count: int, small: bool) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Windows of noise for a network; small ones a quarter as wide and high."""
    *times, height, width, channels = SHAPES[name]
    shape = (count, *times, height // 4, width // 4, channels) if small else (count, *SHAPES[name])
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def networks(place: Place) -> dict[str, dict[str, Any]]:
    """Windows a second of each network alone, in bf16, by batch size and by the way it is run."""
    found: dict[str, dict[str, Any]] = {}
    for name in SHAPES:
        found[name] = {}
        engine = TorchEngine(build_network(name, "untrained")[1], place.device, "bf16")
        for size in (1,) if place.is_quick else (32, 64, 128):
            windows = torch.from_numpy(random_windows(name, size, small=place.is_quick)).to(place.device)
            for way, run in _ways(place, engine.network, windows):
                with torch.inference_mode():
                    rate = size / place.seconds(run)
                figures = {"windows_per_s": rate}
                if not place.is_quick:
                    figures["tflops"] = rate * GFLOP[name] / 1e3
                found[name][f"{way}, {size}"] = figures
    return found


def _ways(place: Place, network: Any, windows: torch.Tensor) -> Iterator[tuple[str, Callable[[], Any]]]:
    def as_is() -> torch.Tensor:
        with torch.autocast(place.device.type, torch.bfloat16):
            return torch.as_tensor(network(windows))

    yield "as is", as_is
    lean: nn.Module = copy.deepcopy(network.network).bfloat16()

    def cast_once() -> torch.Tensor:
        values = (windows.float() / network.scale - network.mean) / network.std
        return torch.as_tensor(lean(values.movedim(-1, 1).bfloat16()))

    yield "cast once", cast_once
    if not place.is_gpu:
        return
    with torch.inference_mode():
        cast_once()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            cast_once()
    yield "graph", graph.replay
    if len(windows) == 32:  # of each batch size it would take most of the time that there is
        yield "compile", torch.compile(cast_once)


def decode_whole(path: Path, decoder: str) -> int:
    """Milliseconds of video that were decoded, to frames and sound."""
    return sum(len(piece.frames_2d) for piece in decode_pieces(path, decoder=decoder)) * 1000


def decoding(place: Place) -> dict[str, Any]:
    """Video-seconds a second by threads and by processes."""
    found: dict[str, Any] = {}
    counts = (1, 2) if place.is_quick else (1, 4, 8, 16)
    for decoder in ("cpu", "nvdec") if place.is_gpu else ("cpu",):
        for kind in ("threads", "processes"):
            for count in counts:
                # Started anew: a process that was forked off one with a CUDA context cannot use the card.
                pool: Executor = (
                    ThreadPoolExecutor(count)
                    if kind == "threads"
                    else ProcessPoolExecutor(count, mp_context=get_context("spawn"))
                )
                with pool:
                    list(pool.map(decode_whole, [place.video] * count, [decoder] * count))  # loads what it needs
                    files = count * (2 if place.is_quick else 12)
                    start = time.perf_counter()
                    decoded_ms = sum(pool.map(decode_whole, [place.video] * files, [decoder] * files))
                found[f"{decoder}, {count} {kind}"] = decoded_ms / 1000 / (time.perf_counter() - start)
    return found


def end_to_end(place: Place) -> dict[str, float]:
    """Video-seconds a second from a file to both features and sound, as many threads as cores decoding."""
    names = ("torchvision/resnet18",) if place.is_quick else tuple(SHAPES)
    loaded = [load_encoder(name, "untrained", "torch", str(place.device), "bf16") for name in names]

    def featurize(_: int) -> float:
        clip = decode_clip(place.video)
        for encoder in loaded:
            encoder(clip.frames_3d if encoder.num_frames > 1 else clip.frames_2d)
        return float(len(clip.frames_2d))

    threads = num_cores()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(featurize, range(threads)))
        start = time.perf_counter()
        video_s = sum(pool.map(featurize, range(threads * (1 if place.is_quick else 8))))
    return {"video_s_per_s": video_s / (time.perf_counter() - start), "threads": threads}


def training(place: Place) -> dict[str, float]:
    """Clips a second of a fine-tuning step of AVLnet, plain and with what ought to make it faster."""
    from model.avlnet import AVLNet
    from model.loss import mms_loss

    size, frames = (4, 256) if place.is_quick else (256, 2400)
    audio, video = (torch.randn(*shape, device=place.device) for shape in ((size, 40, frames), (size, 4096)))
    num_frames = torch.full((size,), frames, device=place.device)
    found = {}
    for way, is_bf16, is_fused in (("fp32", False, False), ("bf16", True, False), ("bf16, fused Adam", True, True)):
        model = AVLNet(embedding_dim=256 if place.is_quick else 4096).to(place.device)
        adam = torch.optim.Adam(model.parameters(), lr=1e-5, fused=is_fused and place.is_gpu)

        def step(model: AVLNet = model, adam: torch.optim.Adam = adam, is_bf16: bool = is_bf16) -> None:
            adam.zero_grad(set_to_none=True)
            with torch.autocast(place.device.type, torch.bfloat16, enabled=is_bf16):
                heard, seen = model(audio, num_frames, video)
            mms_loss(heard.float() @ seen.float().T).backward()
            adam.step()

        found[way] = size / place.seconds(step)
    return found


def training_loop(place: Place) -> dict[str, float]:
    """Clips a second of `model.train.train` itself, from arrays in memory to Adam, its first two steps left out."""
    from model.data import ClipSet
    from model.settings import AUDIO_WIDTHS, TrainSettings
    from model.train import train

    size, frames, dim = (4, 256, 64) if place.is_quick else (256, 2400, 4096)
    num_clips = 8 * size
    ids, counts = [f"clip{i}" for i in range(num_clips)], np.full(num_clips, frames)
    mel = np.random.default_rng(0).uniform(-80, 0, (frames * 8, 40)).astype(np.float32)
    video = np.random.default_rng(1).random((num_clips, dim), np.float32)
    clips = ClipSet(ids, ids, (mel,), np.zeros_like(counts), np.arange(num_clips) % 8 * frames, counts, video)
    found = {}
    for precision in ("fp32", "bf16"):
        widths = (8, 8, 8, 16, 16) if place.is_quick else AUDIO_WIDTHS
        settings = TrainSettings(
            epochs=1, batch_size=size, embedding_dim=dim, widths=widths, precision=precision, device=place.device.type
        )
        ended: list[float] = []

        def note(*_: Any, ended: list[float] = ended) -> None:
            ended.append(time.perf_counter())

        with TemporaryDirectory() as folder:
            train(clips, None, settings, folder, on_step=note)
        found[precision] = size * (len(ended) - 3) / (ended[-1] - ended[2])
    return found


STEPS: dict[str, Callable[[Place], Any]] = {
    "environment": environment,
    "ceilings": ceilings,
    "parity": parity,
    "flag_race": flag_race,
    "networks": networks,
    "decoding": decoding,
    "end_to_end": end_to_end,
    "training": training,
    "training_loop": training_loop,
}
"""In the order of what is most wanted should time run out."""


def judge(done: dict[str, Any]) -> dict[str, bool]:
    """Which limits hold; those of a step that gave no figures are left out."""
    held: dict[str, bool] = {}
    most = {"fp32": MOST_FP32, "tf32": MOST_TF32, "bf16": MOST_BF16}
    for name, errors in done.get("parity", {}).get("found", {}).items():
        held |= {f"{name} in {word}": error <= most[word] for word, error in errors.items() if word in most}
    if race := done.get("flag_race", {}).get("found"):
        held["no forward is another's"] = race["wrong"] == 0
    gemm = done.get("ceilings", {}).get("found", {}).get("gemm_bf16_tflops")
    for name, ways in done.get("networks", {}).get("found", {}).items():
        rates = [figures["tflops"] for figures in ways.values() if "tflops" in figures]
        if rates and gemm:
            held[f"{name}: share of GEMM"] = max(rates) / gemm >= LEAST_SHARE_OF_GEMM
    rates = done.get("decoding", {}).get("found", {})
    if "cpu, 16 processes" in rates:
        held["decoding on 16 cores"] = rates["cpu, 16 processes"] / rates["cpu, 1 processes"] >= LEAST_TIMES_OF_A_CORE
    return held


def _out_of_time(_signal: int, _frame: Any) -> None:
    raise TimeoutError("the step's share of the time is over")


def main() -> None:
    """Run the steps for which there is time, and write what each found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--video", type=Path, default=VIDEO)
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("data/gpu_check.json"))
    arguments = parser.parse_args()
    place = Place(choose_device(arguments.device), arguments.quick, arguments.video)
    begin, done = time.monotonic(), {}
    signal.signal(signal.SIGALRM, _out_of_time)
    for num_done, (name, step) in enumerate(STEPS.items()):
        start = time.monotonic()
        left_s = arguments.seconds - (start - begin)
        # None may take all that is left, but as much as two.
        signal.setitimer(signal.ITIMER_REAL, max(0.1, min(left_s, 2 * left_s / (len(STEPS) - num_done))))
        try:
            found = {"found": step(place)}
        except (RuntimeError, OSError, ValueError, ImportError) as error:  # the next step may work
            found = {"error": f"{type(error).__name__}: {error}"}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        done[name] = {**found, "seconds": round(time.monotonic() - start, 1)}
        write_json(arguments.out, {"steps": done, "holds": judge(done)})
        print(name, json.dumps(done[name]), flush=True)
    print("holds", json.dumps(judge(done)))


if __name__ == "__main__":
    main()
