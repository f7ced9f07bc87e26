"""The torch engine, for GPUs and for CPUs without OpenVINO: fixed-size batches, the last one padded with black."""

import copy
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from datasets.devices import NoRoomError, device_errors
from datasets.full_batches import share_batches
from datasets.outcomes import DeviceError
from features.encoders.cuda_graphs import Graphs
from features.encoders.engines import Engine, Float32, UInt8, has_bf16, torch_has_gpu

BATCH_SIZE_CPU = 4
BATCH_SIZE_GPU = 32
DEVICE_LOCKS: dict[str, threading.Lock] = defaultdict(threading.Lock)
"""One for each device: networks take turns on it."""
_CALLERS: Counter[str] = Counter()
"""Of each of several GPUs, those that compute on it or wait for it."""
_COUNTING = threading.Lock()


def choose_device(device: str) -> torch.device:
    """The device named, or for "auto" the first GPU, else the CPU.

    Raises:
        ValueError: torch has no such device here.
    """
    if device == "auto":
        device = "cuda" if torch_has_gpu() else "cpu"
    try:
        return torch.empty(0, device=device).device  # "cuda" has a number now
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        complaint = str(error).splitlines()[0]
        raise ValueError(f"device {device!r} cannot be used here ({complaint}): use cpu") from error


def precision_on(device: torch.device, precision: str) -> str:
    """The precision asked for, or fp32 where the device's hardware lacks it."""
    if precision == "fp32":
        return precision
    if device.type != "cuda":
        return precision if has_bf16() else "fp32"
    with torch.cuda.device(device):  # torch answers for the current one
        return precision if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


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


def compute_exactly() -> None:
    """No TF32 (its fp32 is off by 1e-3), and the same kernels every time, for this process.

    Torch takes TF32 for convolutions, and where NVIDIA's images set a variable for matrix products, too.

    The flags are the process's own: set for a while and set back, they would be another thread's in the middle of its
    batch.
    """
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


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


@dataclass(eq=False)
class _Job:
    """Windows of one caller, and what became of them."""

    windows: UInt8
    rows: Float32 | None = None


class TorchEngine:
    """Fixed-size batches on a torch device, channels last, bf16 where the hardware has it.

    One batch at a time: it takes every core, or the GPU. Meanwhile callers wait, and the next one of them does the
    windows of all, so that batches are full across threads.
    """

    name = "torch"

    def __init__(self, network: nn.Module, device: torch.device, precision: str, use_graphs: bool = False) -> None:
        self.device = device
        self.precision = precision_on(device, precision)
        self.batch_size = BATCH_SIZE_GPU if device.type == "cuda" else BATCH_SIZE_CPU
        self.lock = DEVICE_LOCKS[str(device)]
        self._waiting: list[_Job] = []
        self._room: dict[tuple[int, ...], int] = {}
        """Windows of a shape in a batch, where the device has no room for `batch_size`."""
        is_3d = any(parameter.ndim == 5 for parameter in network.parameters())
        layout = torch.channels_last_3d if is_3d else torch.channels_last  # as the windows lie
        with device_errors(str(device)):
            self.network = network.to(device).to(memory_format=layout)
        if self.precision == "bf16":
            cast_weights(self.network)
        compute_exactly()
        # One for good: torch keeps memory apart for each of 32 streams, and hands them out in turns.
        self._copying: Any = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._forward = Graphs(self.network) if use_graphs and device.type == "cuda" else self.network

    def run(self, windows: UInt8) -> Float32:
        """See `Engine.run`. Where the device has no room for a batch, windows of that shape go by half as many.

        Raises:
            DeviceError: the device has no room for one window, or fails.
        """
        job, shape = _Job(windows), windows.shape[1:]
        self._waiting.append(job)
        try:
            with self.lock:
                if job.rows is None:
                    jobs = [other for other in list(self._waiting) if other.windows.shape[1:] == shape]
                    jobs = [other for other in jobs if other.rows is None]
                    rows = self._run_together([other.windows for other in jobs])
                    ends = np.cumsum([len(other.windows) for other in jobs])
                    for other, part in zip(jobs, np.split(rows, ends[:-1]), strict=True):
                        other.rows = part
        finally:
            self._waiting.remove(job)
        assert job.rows is not None
        return job.rows

    def _run_together(self, arrays: list[UInt8]) -> Float32:
        shape = arrays[0].shape[1:]
        while True:
            size = self._room.get(shape, self.batch_size)
            batches = [
                [arrays[number][part] for number, part in batch]
                for batch in share_batches([len(array) for array in arrays], size)
            ]
            try:
                with device_errors(str(self.device)), torch.inference_mode():
                    with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                        rows = [torch.as_tensor(self._forward(batch)) for batch in self._on_device(batches, size)]
                    return torch.cat(rows)[: sum(map(len, arrays))].float().cpu().numpy()
            except NoRoomError as error:
                if size == 1:
                    raise DeviceError(f"{error}, not even for one window of {shape}") from error
                self._room[shape] = size // 2

    def _on_device(self, batches: list[list[UInt8]], size: int) -> Iterator[torch.Tensor]:
        """The batches [size, ...] on the device; on a GPU the next one is copied on a stream of its own meanwhile."""
        shape = (size, *batches[0][0].shape[1:])
        if self.device.type != "cuda":
            yield from (fill(torch.empty(shape, dtype=torch.uint8), batch) for batch in batches)
            return
        copying, computing = self._copying, torch.cuda.current_stream(self.device)
        pinned = [torch.empty(shape, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        copied: list[Any] = [None, None]

        def start_copy(index: int) -> torch.Tensor:
            buffer = pinned[index % 2]
            if copied[index % 2] is not None:
                copied[index % 2].synchronize()  # the buffer's last copy must have left before it is filled again
            fill(buffer, batches[index])
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


class SeveralGpus:
    """A network on several GPUs: a caller's windows go where the fewest callers are, of all networks together.

    Raises:
        ValueError: the GPUs compute in different precisions, so that rows would be of two recipes.
    """

    name = "torch"

    def __init__(self, engines: Sequence[TorchEngine]) -> None:
        precisions = {str(engine.device): engine.precision for engine in engines}
        if len(set(precisions.values())) > 1:
            found = ", ".join(f"{device} {precision}" for device, precision in precisions.items())
            raise ValueError(f"the GPUs here differ ({found}): set features.precision = 'fp32', or name one device")
        self.precision = engines[0].precision
        self.batch_size = engines[0].batch_size
        self._engines = engines

    def run(self, windows: UInt8) -> Float32:
        """See `TorchEngine.run`."""
        with _COUNTING:
            engine = min(self._engines, key=lambda engine: _CALLERS[str(engine.device)])
            _CALLERS[str(engine.device)] += 1
        try:
            return engine.run(windows)
        finally:
            with _COUNTING:
                _CALLERS[str(engine.device)] -= 1


def open_engine(network: nn.Module, device: str, precision: str, use_graphs: bool = False) -> Engine:
    """The network on the device named, or for "auto" on every GPU that torch sees, else on the CPU.

    Raises:
        ValueError: torch has no such device here, or its GPUs differ.
    """
    num_gpus = torch.cuda.device_count() if device == "auto" and torch_has_gpu() else 0
    if num_gpus <= 1:
        return TorchEngine(network, choose_device(device), precision, use_graphs)
    gpus = [choose_device(f"cuda:{number}") for number in range(num_gpus)]
    return SeveralGpus([TorchEngine(copy.deepcopy(network), gpu, precision, use_graphs) for gpu in gpus])


def fill(buffer: torch.Tensor, batch: list[UInt8]) -> torch.Tensor:
    """The buffer with a batch's windows in it, and black after them."""
    windows = buffer.numpy()
    num_windows = sum(map(len, batch))
    np.concatenate(batch, out=windows[:num_windows])
    windows[num_windows:] = 0
    return buffer


def cast_weights(network: nn.Module) -> None:
    """Cast once, to bf16 and in place, what autocast would cast for every batch: the same features to the bit."""
    for module in network.modules():
        if type(module) in (nn.Conv2d, nn.Conv3d, nn.Linear):  # a subclass may do more with its weights
            module.bfloat16()
