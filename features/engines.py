"""The two engines that run a network on windows of frames: torch (CPU and GPU) and OpenVINO (CPU).

Every result depends on its own window only: OpenVINO infers one window at a time, in as many threads
as call it; torch runs batches of one fixed size, the last one padded, so that the kernels never change.
"""

import ctypes
import gc
import importlib.util
import mmap
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

BATCH_SIZE_CPU = 4
BATCH_SIZE_GPU = 32


class Engine(Protocol):
    """Runs a network; `precision` is what the hardware really does."""

    name: str
    precision: str

    def run(self, windows: UInt8) -> Float32:
        """Windows [U, ...] of uint8 RGB, all of one shape -> [U, D]."""


def choose_device(device: str) -> torch.device:
    """The device named, or for "auto" the first GPU, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def choose_engine(engine: str, device: torch.device) -> str:
    """The engine named, or for "auto" OpenVINO on a CPU that has it, else torch.

    Raises:
        ValueError: an unknown engine, or OpenVINO on a device that is not the CPU.
    """
    if engine not in ("auto", "torch", "openvino"):
        raise ValueError(f"engine must be auto, torch or openvino, got {engine!r}")
    if engine == "openvino" and device.type != "cpu":
        raise ValueError(f"engine openvino runs on the CPU, got device {device}; use engine torch")
    if engine == "auto":
        has_openvino = importlib.util.find_spec("openvino") is not None
        return "openvino" if device.type == "cpu" and has_openvino else "torch"
    return engine


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each BatchNorm into the convolution declared just before it in the same module, in place.

    Holds for the residual and EfficientNet families, whose modules declare conv, bn, conv, bn in the order of use;
    a pair of unequal channels is left alone.
    """
    previous_name, previous = "", None
    for name, child in network.named_children():
        is_norm = type(child) in (nn.BatchNorm2d, nn.BatchNorm3d)  # a subclass may do more than normalise
        if is_norm and isinstance(previous, nn.Conv2d | nn.Conv3d) and previous.out_channels == child.num_features:
            setattr(network, previous_name, fuse_conv_bn_eval(previous, cast(nn.BatchNorm2d, child)))
            setattr(network, name, nn.Identity())
        fold_batch_norms(child)
        previous_name, previous = name, child


def _exact_cudnn() -> Any:
    """No TF32 (its fp32 is off by 1e-3), and the same kernels every time."""
    flags: Any = torch.backends.cudnn.flags
    return flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class Normalised(nn.Module):
    """A network behind its own preprocessing: uint8 RGB windows [U, ..., H, W, 3] in, features [U, D] out."""

    def __init__(self, network: nn.Module, scale: float, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Pixels divided by the scale and normalised, channels where torch wants them, through the network."""
        values = (windows.float() / self.scale - self.mean) / self.std
        return torch.as_tensor(self.network(values.movedim(-1, 1)))


class TorchEngine:
    """Fixed-size batches on a torch device, channels last, bf16 by autocast where the hardware has it.

    One caller at a time: a batch takes every core, or the GPU.
    """

    name = "torch"

    def __init__(self, network: Normalised, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision if precision == "fp32" or _torch_has_bf16(device) else "fp32"
        self.batch_size = BATCH_SIZE_GPU if device.type == "cuda" else BATCH_SIZE_CPU
        self.network = network.to(device)
        self.lock = threading.Lock()

    def run(self, windows: UInt8) -> Float32:
        """See `Engine.run`."""
        batches = list(_padded_batches(windows, self.batch_size))
        with self.lock, torch.inference_mode(), _exact_cudnn():
            rows = [self._run_batch(batch) for batch in self._on_device(batches)]
            return torch.cat(rows)[: len(windows)].float().cpu().numpy()

    def _run_batch(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return torch.as_tensor(self.network(batch))

    def _on_device(self, batches: Sequence[UInt8]) -> Iterator[torch.Tensor]:
        """The batches on the device; on a GPU the next one is copied on a stream of its own meanwhile."""
        if self.device.type != "cuda":
            yield from map(torch.from_numpy, batches)
            return
        copying: Any = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        computing = torch.cuda.current_stream(self.device)
        pinned = [torch.empty(batches[0].shape, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        copied: list[Any] = [None, None]

        def start_copy(index: int) -> torch.Tensor:
            buffer = pinned[index % 2]
            if copied[index % 2] is not None:
                copied[index % 2].synchronize()  # the buffer's last copy must have left before it is filled again
            buffer.numpy()[:] = batches[index]
            with torch.cuda.stream(copying):
                batch = buffer.to(self.device, non_blocking=True)
                copied[index % 2] = copying.record_event()
            return batch

        waiting = start_copy(0)
        for index in range(len(batches)):
            batch, arrived = waiting, copied[index % 2]
            if index + 1 < len(batches):
                waiting = start_copy(index + 1)
            computing.wait_event(arrived)
            batch.record_stream(computing)
            yield batch


class OpenvinoEngine:
    """One window a request, one request a caller: callers in several threads run side by side, a core each.

    One compiled network serves every frame size. It keeps packed weights of its own, so the network it was made from
    lies in a file that is mapped, and its pages are given back: 0.4 GB for both networks of the paper.
    """

    name = "openvino"

    def __init__(self, path: Path, example: UInt8, precision: str, num_threads: int) -> None:
        import openvino

        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision if precision == "fp32" or has_bf16 else "fp32"
        hint = {"fp32": "f32", "bf16": "bf16"}[self.precision]
        threads = {"NUM_STREAMS": num_threads, "INFERENCE_NUM_THREADS": num_threads}
        with path.with_suffix(".bin").open("r+b") as file:
            pages = mmap.mmap(file.fileno(), 0)
        self.weights = openvino.Tensor(np.frombuffer(pages, np.uint8), shared_memory=True)
        model = core.read_model(path.read_bytes(), self.weights)
        self.compiled: Any = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint, **threads})
        self.run(example)  # packs the weights
        pages.madvise(mmap.MADV_DONTNEED)

    def run(self, windows: UInt8) -> Float32:
        """See `Engine.run`."""
        request = self.compiled.create_infer_request()
        rows = []
        for index in range(len(windows)):
            request.infer({0: windows[index : index + 1]}, share_inputs=True)
            rows.append(request.get_output_tensor().data[0].copy())
        return np.stack(rows)


def save_for_openvino(network: Normalised, example: UInt8, path: Path) -> None:
    """Write a network for windows of any height and width to `path` (.xml, and its weights beside it)."""
    import openvino

    window = torch.from_numpy(example)

    with warnings.catch_warnings(), torch.no_grad():  # tracing is deprecated; exporting takes three times as long
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        model = openvino.convert_model(trace(network, window, check_trace=False), example_input=window)
    model.reshape([1, *example.shape[1:-3], -1, -1, 3])
    openvino.save_model(model, path, compress_to_fp16=False)


def give_back_memory() -> None:
    """Return what was freed to the system, where the C library would keep it: 0.4 GB after loading a network."""
    gc.collect()
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", bool)(0)


def _padded_batches(windows: UInt8, batch_size: int) -> Iterator[UInt8]:
    for start in range(0, len(windows), batch_size):
        batch = windows[start : start + batch_size]
        padding = np.zeros((batch_size - len(batch), *windows.shape[1:]), np.uint8)
        yield np.concatenate([batch, padding])


def _torch_has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    mkldnn: Any = torch.ops.mkldnn
    has_bf16: bool = mkldnn._is_mkldnn_bf16_supported()
    return has_bf16
