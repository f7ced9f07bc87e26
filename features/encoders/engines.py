"""The engines that run a network on windows of frames: what they have in common, and OpenVINO (CPU).

Every result depends on its own window only: OpenVINO infers one window at a time, in as many threads as call it;
torch (features.encoders.torch_engine) runs batches of one fixed size. Importing this file loads neither: a process that
featurizes on a CPU needs no torch, which alone is half a gigabyte.
"""

import importlib.util
import mmap
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from datasets import devices

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_GPU_NODES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""NVIDIA's driver, the same under WSL, AMD's: where none is, torch need not be loaded to say that there is no GPU."""
_CPU_FLAGS = Path("/proc/cpuinfo")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time that a container has in so many: "1600000 100000" is 16 cores, "max" all of them."""


class Engine(Protocol):
    """Runs a network; `precision` is what the hardware really does."""

    name: str
    precision: str
    batch_size: int
    """Windows that it computes at once: fewer cost as much."""

    def run(self, windows: UInt8) -> Float32:
        """Windows [U, ...] of uint8 RGB, all of one shape -> [U, D]."""


def has_gpu() -> bool:
    """Whether torch can use a GPU here; where there is no driver it is not loaded."""
    return any(Path(node).exists() for node in _GPU_NODES) and torch_has_gpu()


def torch_has_gpu() -> bool:
    """Whether torch can use a GPU (`datasets.devices.has_gpu`)."""
    import torch

    return devices.has_gpu(torch.cuda)


def choose_engine(engine: str, device: str) -> str:
    """The engine named, or for "auto" OpenVINO on a CPU that has it, else torch.

    Args:
        engine: auto, torch or openvino.
        device: a torch device, or "auto" for GPUs where there are any; for OpenVINO, which has none, the CPU.

    Raises:
        ValueError: an unknown engine, or OpenVINO on a device that is not the CPU.
    """
    if engine not in ("auto", "torch", "openvino"):
        raise ValueError(f"engine must be auto, torch or openvino, got {engine!r}")
    if engine == "openvino" and device.partition(":")[0] not in ("auto", "cpu"):
        raise ValueError(f"engine openvino runs on the CPU, got device {device}; use engine torch")
    if engine == "auto":
        is_on_cpu = not has_gpu() if device == "auto" else device.partition(":")[0] == "cpu"
        return "openvino" if is_on_cpu and importlib.util.find_spec("openvino") is not None else "torch"
    return engine


def num_cores() -> int:
    """Cores that this process may use: those it may run on, as far as a container's share of their time goes."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = (_CPU_QUOTA.read_text() if _CPU_QUOTA.is_file() else "max").strip().partition(" ")
    return min(there, max(1, -(-int(quota) // int(period)))) if quota.isdigit() else there


def has_bf16() -> bool:
    """Whether this CPU multiplies bf16; others make it up from fp32, for less precision in no less time."""
    try:
        flags = set(_CPU_FLAGS.read_text(encoding="utf-8").split())
    except OSError:  # no Linux
        return False
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def cpu_options(num_threads: int, precision: str = "fp32") -> dict[str, Any]:
    """OpenVINO's, for so many callers, a core each.

    Pinned, the threads of every process would share the first cores: two processes would be as slow as one.
    """
    threads = {"NUM_STREAMS": num_threads, "INFERENCE_NUM_THREADS": num_threads, "ENABLE_CPU_PINNING": False}
    return {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision], **threads}


class OpenvinoEngine:
    """One window a request, one request a caller: callers in several threads run side by side, a core each.

    One compiled network serves every frame size. It keeps packed weights of its own, so the network it was made from
    lies in a file that is mapped, and its pages are given back: 0.4 GB for both networks of the paper.
    """

    name = "openvino"
    batch_size = 1

    def __init__(self, path: Path, example: UInt8, precision: str, num_threads: int) -> None:
        import openvino

        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # of these, BF16 may be made up
        self.precision = precision if precision == "fp32" or ("BF16" in capabilities and has_bf16()) else "fp32"
        with path.with_suffix(".bin").open("r+b") as file:
            pages = mmap.mmap(file.fileno(), 0)
        self.weights = openvino.Tensor(np.frombuffer(pages, np.uint8), shared_memory=True)
        model = core.read_model(path.read_bytes(), self.weights)
        self.compiled: Any = core.compile_model(model, "CPU", cpu_options(num_threads, self.precision))
        self.run(example)  # packs the weights
        pages.madvise(mmap.MADV_DONTNEED)

    def run(self, windows: UInt8) -> Float32:
        """See `Engine.run`."""
        request = self.compiled.create_infer_request()
        rows = []
        with devices.device_errors("cpu", "lower features.num_threads"):
            for index in range(len(windows)):
                request.infer({0: windows[index : index + 1]}, share_inputs=True)
                rows.append(request.get_output_tensor().data[0].copy())
        return np.stack(rows)
