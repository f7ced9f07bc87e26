"""The torch engine, for GPUs and for CPUs without OpenVINO: fixed-size batches, the last one padded with black."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from datasets.outcomes import DeviceError
from features.encoders.engines import Float32, UInt8, has_bf16

BATCH_SIZE_CPU = 4
BATCH_SIZE_GPU = 32
_LOCKS: dict[str, threading.Lock] = defaultdict(threading.Lock)
"""One for each device: two networks take turns on it."""


def choose_device(device: str) -> torch.device:
    """The device named, or for "auto" the first GPU, else the CPU.

    Raises:
        ValueError: torch has no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device  # "cuda" has a number now
    except (RuntimeError, AssertionError) as error:
        complaint = str(error).splitlines()[0]
        raise ValueError(f"device {device!r} cannot be used here ({complaint}): use cpu") from error


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

    The flags are the process's own: set for a while and set back, they would be another thread's in the middle of its
    batch.
    """
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


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
        is_gpu = device.type == "cuda"
        if precision != "fp32":
            is_there = torch.cuda.is_bf16_supported(including_emulation=False) if is_gpu else has_bf16()
            precision = precision if is_there else "fp32"
        self.precision = precision
        self.batch_size = BATCH_SIZE_GPU if is_gpu else BATCH_SIZE_CPU
        is_3d = any(parameter.ndim == 5 for parameter in network.parameters())
        layout = torch.channels_last_3d if is_3d else torch.channels_last  # as the windows lie
        self.network = network.to(device).to(memory_format=layout)
        self.lock = _LOCKS[str(device)]
        compute_exactly()

    def run(self, windows: UInt8) -> Float32:
        """See `Engine.run`. A device that has no room for a batch gets half as many windows from then on.

        Raises:
            DeviceError: the device has no room for one window, or fails.
        """
        while True:
            try:
                with self.lock, torch.inference_mode():
                    black = np.zeros((-len(windows) % self.batch_size, *windows.shape[1:]), np.uint8)
                    batches = np.concatenate([windows, black]).reshape(-1, self.batch_size, *windows.shape[1:])
                    with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                        rows = [torch.as_tensor(self.network(batch)) for batch in self._on_device(batches)]
                    return torch.cat(rows)[: len(windows)].float().cpu().numpy()
            except torch.OutOfMemoryError as error:
                if self.batch_size == 1:
                    raise DeviceError(f"{self.device} has no room for one window of {windows.shape[1:]}") from error
                self.batch_size //= 2
            except torch.AcceleratorError as error:
                raise DeviceError(f"{self.device} fails: {str(error).splitlines()[0]}") from error

    def _on_device(self, batches: UInt8) -> Iterator[torch.Tensor]:
        """The batches [N, B, ...] on the device; on a GPU the next one is copied on a stream of its own meanwhile."""
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
