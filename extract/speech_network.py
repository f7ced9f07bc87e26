"""The segmenter's CNN in torch, from its Keras HDF5 file, shared over neighbouring patches.

The network looks at patches of 68 frames x 21 bands every 2 frames, each normalised by its own mean and deviation.
Neighbouring patches are nearly the same, so a group of them is normalised once and convolved once: pooling with a
stride becomes pooling at every patch position, and what follows it is dilated. A group of one patch is the network
itself. torch and h5py are loaded when a network is.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

PATCH_FRAMES = 68
PATCH_BANDS = 21
PATCH_STEP = 2
"""Frames between neighbouring patches: one patch, and one label, each 20 ms."""


@dataclass(frozen=True)
class Convolution:
    """Convolution, batch norm folded in, and ReLU."""

    weight: "torch.Tensor"
    """[channels out, channels in, frames, bands]"""
    bias: "torch.Tensor"


@dataclass(frozen=True)
class Pool:
    """Maximum over (frames, bands), with as many steps as the input gives ("valid") or rounded up ("same")."""

    size: tuple[int, int]
    padded: bool


@dataclass(frozen=True)
class Dense:
    """Matrix product, batch norm folded in; ReLU but in the last layer."""

    weight: "torch.Tensor"
    """[channels out, channels in]"""
    bias: "torch.Tensor"
    is_last: bool


Layer = Convolution | Pool | Dense


@dataclass(frozen=True)
class SpeechNetwork:
    """The layers of one network, ready to run."""

    layers: tuple[Layer, ...]
    num_classes: int
    device: str
    weights_sha256: str

    def predict(self, groups: NDArray[np.float32], step: int = PATCH_STEP) -> NDArray[np.float32]:
        """Class probabilities of the patches of groups.

        Args:
            groups: float32 [num_groups, 68 + step * (group_size - 1), 21], normalised.
            step: frames from one patch of a group to the next: 2, 4 or (network smn) 8.

        Returns:
            float32 [num_groups, group_size, num_classes]
        """
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(groups).to(self.device)[:, None].contiguous(memory_format=torch.channels_last)
            x = _run_single(self.layers, x) if x.shape[2] == PATCH_FRAMES else _run_shared(self.layers, x, step)
            return x.float().cpu().numpy()


def _run_single(layers: tuple[Layer, ...], x: "torch.Tensor") -> "torch.Tensor":
    """Patches [n, 1, 68, 21] to probabilities [n, 1, num_classes], layer by layer as Keras runs them."""
    from torch.nn import functional

    for layer in layers:
        match layer:
            case Convolution():
                x = functional.conv2d(x, layer.weight, layer.bias).relu_()
            case Pool():
                x = functional.max_pool2d(_pad(x, layer, _padding(x.shape[2], layer)), layer.size, layer.size)
            case Dense():
                x = _run_dense(layer, x)
    return x


def _run_shared(layers: tuple[Layer, ...], x: "torch.Tensor", step: int) -> "torch.Tensor":
    """Groups [n, 1, 68 + step * (G - 1), 21] to probabilities [n, G, num_classes].

    `dilation` is the distance, in positions of x, between neighbours of the patch-by-patch network. A pool steps by
    one patch where that is less than its size; from there on a position is a patch. Inside a group the padding of a
    patch's first and last window is replaced by the neighbours' frames: the one approximation beside normalisation.
    """
    from torch.nn import functional

    dilation, frames = 1, PATCH_FRAMES
    for layer in layers:
        match layer:
            case Convolution():
                x = functional.conv2d(x, layer.weight, layer.bias, dilation=(dilation, 1)).relu_()
                frames -= layer.weight.shape[2] - 1
            case Pool():
                stride = min(step, layer.size[0])
                x = _pad(x, layer, _padding(frames, layer))
                x = functional.max_pool2d(x, layer.size, (stride, layer.size[1]), dilation=(dilation, 1))
                frames = _pooled_frames(frames, layer)
                dilation, step = dilation * layer.size[0] // stride, step // stride
            case Dense():
                x = _run_dense(layer, x)
    return x


def _run_dense(layer: Dense, x: "torch.Tensor") -> "torch.Tensor":
    """[n, channels, positions, 1] (from convolutions) or [n, positions, channels] to [n, positions, channels out]."""
    from torch.nn import functional

    x = x.flatten(2).transpose(1, 2) if x.dim() == 4 else x
    x = functional.linear(x, layer.weight, layer.bias)
    return x.softmax(-1) if layer.is_last else x.relu_()


def _pooled_frames(frames: int, pool: Pool) -> int:
    return -(-frames // pool.size[0]) if pool.padded else frames // pool.size[0]


def _padding(frames: int, pool: Pool) -> tuple[int, int]:
    """Frames that Keras' "same" pooling adds before and after a patch's `frames`."""
    missing = -frames % pool.size[0] if pool.padded else 0
    return missing // 2, missing - missing // 2


def _pad(x: "torch.Tensor", pool: Pool, frame_padding: tuple[int, int]) -> "torch.Tensor":
    from torch.nn import functional

    missing = -x.shape[3] % pool.size[1] if pool.padded else 0
    padding = (missing // 2, missing - missing // 2, *frame_padding)
    return functional.pad(x, padding, value=float("-inf")) if any(padding) else x


@lru_cache(maxsize=4)
def load_network(path: Path, sha256: str, device: str = "cpu") -> SpeechNetwork:
    """Read a Keras CNN; HDF5 arrays only, nothing in the file is executed.

    Raises:
        ValueError: the file is missing, or is not the one of `sha256`.
    """
    import h5py

    if not path.is_file():
        raise ValueError(f"no segmentation weights at {path}: run `make weights`")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"{path} has sha256 {found[:16]}..., not {sha256[:16]}...: delete it and run `make weights`")
    with h5py.File(io.BytesIO(data), "r") as file:
        layers = _read_layers(file, device)
    last = layers[-1]
    assert isinstance(last, Dense)
    return SpeechNetwork(tuple(layers), last.weight.shape[0], device, sha256)


def _read_layers(file: Any, device: str) -> list[Layer]:
    config = json.loads(file.attrs["model_config"])["config"]
    specs = config["layers"] if isinstance(config, dict) else config
    layers: list[Layer] = []
    for spec, following in zip(specs, [*specs[1:], None], strict=True):
        match spec["class_name"]:
            case "MaxPooling2D":
                pool = spec["config"]
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
    group.visititems(
        lambda name, item: (
            arrays.__setitem__(name.split("/")[-1].split(":")[0], np.asarray(item, np.float64))
            if hasattr(item, "shape")
            else None
        )
    )
    return arrays
