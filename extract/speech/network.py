"""The segmenter's CNN in torch, from its Keras HDF5 file, on a device.

The network looks at patches of 68 frames x 21 bands every 2 frames, each normalised by its own mean and deviation; it
is given groups of them (extract.speech.layers). Where the hardware multiplies bfloat16, whoever asks for rough scores
gets them in that, three to four times as fast. torch and h5py are loaded when a network is.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datasets.devices import NoRoomError, device_errors
from datasets.outcomes import DeviceError
from extract.speech.layers import Convolution, Dense, Layer, Pool, run_layers

if TYPE_CHECKING:
    import torch

Groups = NDArray[np.float32]
_Scores = tuple["torch.Tensor", Any]
"""Scores, and on a GPU the event that tells when they are in this process's memory."""
FRAMES_PER_BATCH = 4096
"""Frames of all groups of one run of the CNN on a CPU: the first convolution makes 4.6 kB of each."""
GPU_FRAMES_PER_BATCH = 65536
"""On a GPU: 1.2 GB in the first two convolutions, enough work for all of its cores."""


@dataclass(frozen=True)
class SpeechNetwork:
    """The layers of one network, ready to run."""

    layers: tuple[Layer, ...]
    rough_layers: tuple[Layer, ...]
    """The same in bfloat16 where that is faster; else the same."""
    num_classes: int
    device: str
    weights_sha256: str

    @property
    def frames_per_batch(self) -> int:
        """Frames of all groups that `predict` should get at once."""
        return FRAMES_PER_BATCH if self.device == "cpu" else GPU_FRAMES_PER_BATCH

    def predict(self, batches: Iterable[Groups], step: int, rough: bool) -> Iterator[NDArray[np.float32]]:
        """Class probabilities of the patches of groups, batch by batch; a GPU computes one while the next is cut.

        Args:
            batches: float32 [num_groups, 68 + step * (group_size - 1), 21] each, normalised.
            step: frames from one patch of a group to the next: 2, 4 or (network smn) 8.
            rough: about three digits will do.

        Yields:
            float32 [num_groups, group_size, num_classes]

        Raises:
            DeviceError: the device has no room for one group, or fails.
            ArithmeticError: what comes out is not finite.
        """
        waiting: list[_Scores] = []
        for groups in batches:
            computing = self._start(groups, step, self.rough_layers if rough else self.layers)
            if waiting:
                yield self._finish(waiting)
            waiting = computing
        if waiting:
            yield self._finish(waiting)

    def _start(self, groups: Groups, step: int, layers: tuple[Layer, ...]) -> list[_Scores]:
        """Scores that a GPU has only been told to compute; of each half apart where it has no room for both."""
        import torch

        is_gpu = torch.device(self.device).type == "cuda"
        assert isinstance(layers[0], Convolution)
        try:
            with device_errors(self.device), torch.inference_mode():
                x = torch.from_numpy(groups)
                x = x.pin_memory() if is_gpu else x
                x = x.to(self.device, non_blocking=True).to(layers[0].weight.dtype)
                x = run_layers(layers, x[:, None].contiguous(memory_format=torch.channels_last), step).float()
                if not is_gpu:
                    return [(x, None)]
                scores = torch.empty(x.shape, pin_memory=True).copy_(x, non_blocking=True)
                return [(scores, torch.cuda.current_stream(self.device).record_event())]
        except NoRoomError as error:
            if len(groups) == 1:
                raise DeviceError(f"{error}, not even for one group of patches {groups.shape[1:]}") from error
        # Not before the error is gone: it holds on to what the layers had computed.
        half = len(groups) // 2
        return [*self._start(groups[:half], step, layers), *self._start(groups[half:], step, layers)]

    def _finish(self, computing: list[_Scores]) -> NDArray[np.float32]:
        with device_errors(self.device):
            for _, is_there in computing:
                if is_there is not None:
                    is_there.synchronize()
        found = np.concatenate([scores.numpy() for scores, _ in computing])
        if not np.isfinite(found).all():
            raise ArithmeticError(f"the speech network gives numbers that are not finite on {self.device}")
        return found


def read_weights(path: Path, sha256: str) -> bytes:
    """The weights' file.

    Raises:
        ValueError: it is missing, or is not the one of `sha256`.
    """
    if not path.is_file():
        raise ValueError(f"no segmentation weights at {path}: run `make weights`")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"{path} has sha256 {found[:16]}..., not {sha256[:16]}...: delete it and run `make weights`")
    return data


def check_device(device: str) -> None:
    """Refuse a device that torch does not have here.

    Raises:
        ValueError: names it.
    """
    if device == "cpu":
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        complaint = str(error).splitlines()[0]
        raise ValueError(f'speech.device = "{device}" cannot be used here ({complaint}): set "cpu"') from error


@lru_cache(maxsize=4)
def load_network(path: Path, sha256: str, device: str = "cpu") -> SpeechNetwork:
    """Read a Keras CNN; HDF5 arrays only, nothing in the file is executed.

    Raises:
        ValueError: the file is missing, or is not the one of `sha256`.
    """
    import h5py
    import torch

    data = read_weights(path, sha256)
    with device_errors(device), h5py.File(io.BytesIO(data), "r") as file:
        layers = tuple(_read_layers(file, device))
    last = layers[-1]
    assert isinstance(last, Dense)
    if device != "cpu":
        # Off by 1e-3 where bands are to be settled in fp32.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if torch.device(device).type == "cuda":
        with torch.cuda.device(device):  # torch answers for the current one
            has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        found = torch.cpu.get_capabilities()
        has_bfloat16 = found.get("amx_bf16") or found.get("avx512_bf16")
    rough_layers = layers
    if has_bfloat16:  # multiplied in hardware, and not made up from float32
        rough_layers = tuple(
            layer
            if isinstance(layer, Pool)
            else replace(layer, weight=layer.weight.bfloat16(), bias=layer.bias.bfloat16())
            for layer in layers
        )
    return SpeechNetwork(layers, rough_layers, last.weight.shape[0], device, sha256)


def _read_layers(file: Any, device: str) -> list[Layer]:
    config = json.loads(file.attrs["model_config"])["config"]
    specs = config["layers"] if isinstance(config, dict) else config
    layers: list[Layer] = []
    for spec, following in zip(specs, [*specs[1:], None], strict=True):
        match spec["class_name"]:
            case "MaxPooling2D":
                pool = spec["config"]
                before = layers[-1]
                assert isinstance(before, Convolution)
                layers[-1] = replace(before, is_pooled=True)
                layers.append(Pool(tuple(pool["pool_size"]), pool["padding"] == "same"))
            case "Conv2D" | "Dense":
                layers.append(_read_weights(file["model_weights"], spec, following, device))
    return layers


def _read_weights(weights: Any, spec: dict[str, Any], following: dict[str, Any] | None, device: str) -> Layer:
    """One convolution or dense layer, with the batch norm after it multiplied into it."""
    import torch

    values = _arrays_of(weights[spec["config"]["name"]])
    kernel, bias = values["kernel"], values["bias"]
    if following is not None and following["class_name"] == "BatchNormalization":
        norm = _arrays_of(weights[following["config"]["name"]])
        scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + following["config"]["epsilon"])
        kernel, bias = kernel * scale, (bias - norm["moving_mean"]) * scale + norm["beta"]
    axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
    weight = torch.from_numpy(kernel.transpose(axes).astype(np.float32)).to(device)
    shift = torch.from_numpy(bias.astype(np.float32)).to(device)
    if kernel.ndim == 4:
        return Convolution(weight.contiguous(memory_format=torch.channels_last), shift)
    return Dense(weight.contiguous(), shift, is_last=following is None)


def _arrays_of(group: Any) -> dict[str, NDArray[np.float64]]:
    """The arrays of one layer by their own name: `conv2d_12/kernel:0` is `kernel`."""
    arrays: dict[str, NDArray[np.float64]] = {}

    def keep(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            arrays[name.split("/")[-1].split(":")[0]] = np.asarray(item, np.float64)

    group.visititems(keep)
    return arrays
