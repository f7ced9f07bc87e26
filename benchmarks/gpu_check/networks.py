"""Both networks alone: how near the golden features, whether threads disturb each other, how fast by which way."""

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.gpu_check.place import GOLDEN, Found, Place, attempt
from features.encoders import load_encoder
from features.encoders.cuda_graphs import Graphs
from features.encoders.networks import build_network
from features.encoders.torch_engine import TorchEngine, compute_exactly, precision_on

GFLOP = {"resnet152": 41.21, "resnext101_3d": 19.13}
"""Of a frame of 224x398, and of a window of 16 frames of 112x199."""
SHAPES = {"resnet152": (224, 398, 3), "resnext101_3d": (16, 112, 199, 3)}
GOLDENS = {"resnet152": "2d", "resnext101_3d": "3d"}


def parity(place: Place, found: Found) -> None:
    """Relative L2 of both networks' features from the golden ones, in each precision."""
    has_bf16 = precision_on(place.device, "bf16") == "bf16"
    for name in GOLDENS:
        found[name] = {}
        for precision in ("fp32", "tf32", "bf16", "fp32 by graphs") if place.is_gpu else ("fp32", "bf16"):
            is_done = has_bf16 or precision != "bf16"
            told = precision if is_done else f"{precision}, done in fp32"
            attempt(found[name], told, partial(error_of, place, name, precision))


def error_of(place: Place, name: str, precision: str) -> float:
    """Of a network's features, in one precision."""
    golden, kind = np.load(GOLDEN / "features" / "features.npz"), GOLDENS[name]
    frames, expected = np.ascontiguousarray(golden[f"in{kind}_u8"].transpose(0, 2, 3, 1)), golden[f"out{kind}_f32"]
    given = "untrained", "torch", str(place.device), "bf16" if precision == "bf16" else "fp32"
    encoder = load_encoder(name, *given, use_graphs=precision == "fp32 by graphs")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"  # the engine has switched it off
    try:
        return float(np.linalg.norm(encoder(frames) - expected) / np.linalg.norm(expected))
    finally:
        compute_exactly()


def flag_race(place: Place, found: Found) -> None:
    """Two engines in two threads: forwards that differ from the same batch alone. None may."""
    engines = [TorchEngine(build_network(name, "untrained")[1], place.device, "fp32") for name in SHAPES]
    windows = [random_windows(name, 2, small=True) for name in SHAPES]
    alone = [engine.run(batch) for engine, batch in zip(engines, windows, strict=True)]
    rounds = 1 if place.is_quick else 40

    def count_wrong(index: int) -> int:
        rows = (engines[index].run(windows[index]) for _ in range(rounds))
        return sum(not np.array_equal(row, alone[index]) for row in rows)

    with ThreadPoolExecutor(2) as pool:
        found |= {"forwards": 2 * rounds, "wrong": sum(pool.map(count_wrong, range(2)))}


def random_windows(name: str, count: int, small: bool) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Windows of noise for a network; small ones a quarter as wide and high."""
    *times, height, width, channels = SHAPES[name]
    shape = (count, *times, height // 4, width // 4, channels) if small else (count, *SHAPES[name])
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def networks(place: Place, found: Found) -> None:
    """Windows a second of each network alone, in bf16, by batch size and by the way it is run."""
    for name in SHAPES:
        found[name] = {}
        network = build_network(name, "untrained")[1]
        plain = copy.deepcopy(network.network).to(place.device)
        engine = TorchEngine(network, place.device, "bf16")
        for size in (1,) if place.is_quick else (32, 64, 128):
            windows = torch.from_numpy(random_windows(name, size, small=place.is_quick)).to(place.device)
            for way, run in ways(place, engine, plain, windows):
                attempt(found[name], f"{way}, {size}", partial(rate_of, place, name, run, size))
        if name == "resnext101_3d":
            attempt(found[name], "grouped convolutions", partial(grouped_tflops, place, engine.network))


def rate_of(place: Place, name: str, run: Callable[[], Any], size: int) -> dict[str, float]:
    """Windows a second, and TFLOP/s of windows of the real size."""
    with torch.inference_mode():
        rate = size / place.seconds(run)
    return {"windows_per_s": rate} | ({} if place.is_quick else {"tflops": rate * GFLOP[name] / 1e3})


def ways(
    place: Place, engine: TorchEngine, plain: nn.Module, windows: torch.Tensor
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """How a batch may be run: by the engine, as it was before, and in ways that it does not take by itself."""
    normalise = engine.network
    layout = torch.channels_last_3d if windows.ndim == 5 else torch.channels_last

    def autocast(network: nn.Module, windows: torch.Tensor = windows) -> torch.Tensor:
        with torch.autocast(place.device.type, torch.bfloat16):
            values = (windows.float() / normalise.scale - normalise.mean) / normalise.std
            return torch.as_tensor(network(values.movedim(-1, 1)))

    yield "as is", lambda: autocast(engine.network.network)
    plain = plain.to(memory_format=layout)
    yield "weights cast every time", lambda: autocast(plain)
    lean = copy.deepcopy(plain).bfloat16().to(memory_format=layout)

    def in_bf16(network: nn.Module = lean) -> torch.Tensor:
        values = (windows.float() / normalise.scale - normalise.mean) / normalise.std
        return torch.as_tensor(network(values.movedim(-1, 1).bfloat16()))

    yield "without autocast", in_bf16
    if windows.shape[0] == 32 or place.is_quick:
        rows_first = copy.deepcopy(plain).bfloat16().to(memory_format=torch.contiguous_format)
        yield "channels first", lambda: in_bf16(rows_first)
    if not place.is_gpu:
        return

    graphs = Graphs(lambda batch: autocast(engine.network.network, batch))  # recorded by the first call
    yield "graph", lambda: graphs(windows)
    if len(windows) == 32:  # of each batch size it would take most of the time that there is
        yield "compile", torch.compile(in_bf16)


def grouped_tflops(place: Place, network: nn.Module) -> dict[str, float]:
    """Of the grouped convolutions of a network, at the sizes of a batch of 32: a tenth of the arithmetic."""
    calls: list[tuple[Any, torch.Tensor]] = []
    grouped = [module for module in network.modules() if getattr(module, "groups", 1) > 1]
    hooks = [
        module.register_forward_pre_hook(lambda module, given: calls.append((module, given[0].bfloat16())))
        for module in grouped
    ]
    windows = random_windows("resnext101_3d", 1 if place.is_quick else 32, small=place.is_quick)
    with torch.inference_mode(), torch.autocast(place.device.type, torch.bfloat16):
        network(torch.from_numpy(windows).to(place.device))
        for hook in hooks:
            hook.remove()
        kernel = 2 * sum(module(x).numel() * module.weight[0].numel() for module, x in calls)
        seconds = place.seconds(lambda: [module(x) for module, x in calls])
    return {"tflops": kernel / seconds / 1e12}
