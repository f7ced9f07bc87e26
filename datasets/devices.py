"""What a device of this machine does not do is the machine's fault, whatever it was given."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datasets.outcomes import DeviceError

_NO_ROOM = (
    "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "unable to find an engine", "can't allocate memory",
    "Failed to allocate",
)  # fmt: skip
"""What CUDA, cuBLAS and cuDNN say, which have no error of their own for it; what torch says of a convolution where
none of cuDNN's ways of computing it found room to work in, and of the memory of a CPU; what OpenVINO says of that."""


class NoRoomError(DeviceError):
    """A device has no room for what it was given: half as much may fit."""


def has_gpu(cuda: Any) -> bool:
    """Whether torch can use a GPU, tried by `init` of torch.cuda.

    With Lightning loaded `torch.cuda.is_available` asks the driver alone, and one too old counts its GPUs, too.
    """
    try:
        cuda.init()
    except (RuntimeError, AssertionError, cuda.DeferredCudaCallError):  # the last is none of the others
        return False
    return True


def refuse_killed(status: int, what: str, mend: str) -> None:
    """Tell a program that Linux ended, as it does where memory runs out, from one that ended of what it was given.

    Args:
        status: what it ended with, negative for a signal.
        what: the program and what it did.
        mend: what a person can do.

    Raises:
        DeviceError: it was killed.
    """
    if status == -signal.SIGKILL:
        raise DeviceError(f"{what} ended with {status}, as where memory runs out: {mend}")


@contextmanager
def device_errors(device: str, without_room: str = "") -> Iterator[None]:
    """Tell torch's and OpenVINO's errors of a device, "cpu", "cuda" or "cuda:N", apart from those of what it is given.

    Neither is known here, their errors are RuntimeErrors; on a GPU all of these are the GPU's, as its inputs are ours.

    Args:
        device: where is computed.
        without_room: what a person can do where there is no memory.

    Raises:
        NoRoomError: there is no memory for it.
        DeviceError: the device fails.
    """
    try:
        yield
    except RuntimeError as error:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        complaint, *more = str(error).splitlines() or [""]
        no_room = next((line for line in (complaint, *more) if any(words in line for words in _NO_ROOM)), None)
        if "OutOfMemoryError" in kinds or no_room:
            told = f"{device} has no room ({no_room or complaint})"
            raise NoRoomError(f"{told}: {without_room}" if without_room else told) from error
        if device == "cpu" and "AcceleratorError" not in kinds:
            raise
        raise DeviceError(f"{device} fails: {complaint}") from error
