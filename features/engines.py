"""The two engines that run a network on windows of frames: torch (CPU and GPU) and OpenVINO (CPU).

Every result depends on its own window only: OpenVINO infers one window at a time on as many streams as there are
cores; torch runs batches of one fixed size, the last one padded, so that the kernels never change.
"""

import importlib.util
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Normalise = Callable[[torch.Tensor], torch.Tensor]

BATCH_SIZE_CPU = 4
BATCH_SIZE_GPU = 64
_MAX_SHAPES = 6
"""Frame sizes an OpenVINO engine keeps compiled; a further one drops the least recently used."""


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
        is_norm = isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d)
        if is_norm and isinstance(previous, nn.Conv2d | nn.Conv3d) and previous.out_channels == child.num_features:
            setattr(network, previous_name, fuse_conv_bn_eval(previous, cast(nn.BatchNorm2d, child)))
            setattr(network, name, nn.Identity())
        fold_batch_norms(child)
        previous_name, previous = name, child


def _exact_cudnn() -> Any:
    """No TF32 (its fp32 is off by 1e-3), and the same kernels every time."""
    flags: Any = torch.backends.cudnn.flags
    return flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class TorchEngine:
    """Fixed-size batches on a torch device, channels last, bf16 by autocast where the hardware has it."""

    name = "torch"

    def __init__(self, network: nn.Module, normalise: Normalise, device: torch.device, precision: str) -> None:
        self.device = device
        self.normalise = normalise
        self.precision = precision if precision == "fp32" or _torch_has_bf16(device) else "fp32"
        self.batch_size = BATCH_SIZE_GPU if device.type == "cuda" else BATCH_SIZE_CPU
        self.network = network.to(device)

    def run(self, windows: UInt8) -> Float32:
        """See `Engine.run`."""
        rows = [self._run_batch(batch)[:size] for batch, size in _padded_batches(windows, self.batch_size)]
        return torch.cat(rows).float().cpu().numpy()

    def _run_batch(self, batch: UInt8) -> torch.Tensor:
        pinned = torch.from_numpy(batch)
        if self.device.type == "cuda":
            pinned = pinned.pin_memory()
        with (
            torch.inference_mode(),
            _exact_cudnn(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            inputs = self.normalise(pinned.to(self.device, non_blocking=True))
            layout = torch.channels_last_3d if inputs.ndim == 5 else torch.channels_last
            return torch.as_tensor(self.network(inputs.contiguous(memory_format=layout)))


class OpenvinoEngine:
    """One window per request, one stream per core."""

    name = "openvino"

    def __init__(self, network: nn.Module, normalise: Normalise, precision: str, num_threads: int) -> None:
        import openvino

        self.core = openvino.Core()
        self.network = network
        self.normalise = normalise
        has_bf16 = "BF16" in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision if precision == "fp32" or has_bf16 else "fp32"
        self.num_threads = num_threads
        self.compiled: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def run(self, windows: UInt8) -> Float32:
        """See `Engine.run`."""
        from openvino import AsyncInferQueue

        queue = AsyncInferQueue(self._compiled_for(windows.shape[1:]), self.num_threads)
        rows: list[Float32] = [np.zeros(0, np.float32)] * len(windows)

        def keep(request: Any, index: int) -> None:
            rows[index] = request.get_output_tensor().data[0].copy()

        queue.set_callback(keep)
        for index in range(len(windows)):
            queue.start_async({0: self._inputs(windows[index : index + 1]).numpy()}, index)
        queue.wait_all()
        return np.stack(rows)

    def _inputs(self, windows: UInt8) -> torch.Tensor:
        return self.normalise(torch.from_numpy(windows)).contiguous()

    def _compiled_for(self, shape: tuple[int, ...]) -> Any:
        if shape not in self.compiled:
            self.compiled[shape] = self._compile(shape)
            if len(self.compiled) > _MAX_SHAPES:
                self.compiled.popitem(last=False)
        self.compiled.move_to_end(shape)
        return self.compiled[shape]

    def _compile(self, shape: tuple[int, ...]) -> Any:
        import openvino

        example = self._inputs(np.zeros((1, *shape), np.uint8))
        with warnings.catch_warnings(), torch.no_grad():  # tracing is deprecated; exporting takes three times as long
            warnings.simplefilter("ignore")
            trace: Any = torch.jit.trace
            traced = torch.jit.freeze(trace(self.network, example, check_trace=False))
            model = openvino.convert_model(traced, example_input=example)
        model.reshape(list(example.shape))
        hint = {"fp32": "f32", "bf16": "bf16"}[self.precision]
        threads = {"NUM_STREAMS": self.num_threads, "INFERENCE_NUM_THREADS": self.num_threads}
        return self.core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint, **threads})


def _padded_batches(windows: UInt8, batch_size: int) -> Iterator[tuple[UInt8, int]]:
    for start in range(0, len(windows), batch_size):
        batch = windows[start : start + batch_size]
        padding = np.zeros((batch_size - len(batch), *windows.shape[1:]), np.uint8)
        yield np.concatenate([batch, padding]), len(batch)


def _torch_has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    mkldnn: Any = torch.ops.mkldnn
    has_bf16: bool = mkldnn._is_mkldnn_bf16_supported()
    return has_bf16
