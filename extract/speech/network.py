"""The segmenter's CNN in torch, from its Keras HDF5 file, shared over neighbouring patches.

The network looks at patches of 68 frames x 21 bands every 2 frames, each normalised by its own mean and deviation.
Neighbouring patches are nearly the same, so a group of them is normalised once and convolved once: pooling with a
stride becomes pooling at every patch position, and what follows it is dilated. A group of one patch is the network
itself. Where the hardware multiplies bfloat16, whoever asks for rough scores gets them in that, three to four times
as fast. torch and h5py are loaded when a network is.
"""

import hashlib
import io
import json
from dataclasses import dataclass, replace
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
FRAMES_PER_BATCH = 4096
"""Frames of all groups of one run of the CNN on a CPU: the first convolution makes 4.6 kB of each."""
GPU_FRAMES_PER_BATCH = 65536
"""On a GPU: 1.2 GB in the first two convolutions, enough work for all of its cores."""


@dataclass(frozen=True)
class Convolution:
    """Convolution, batch norm folded in; ReLU but before a pool."""

    weight: "torch.Tensor"
    """[channels out, channels in, frames, bands]"""
    bias: "torch.Tensor"
    is_pooled: bool = False


@dataclass(frozen=True)
class Pool:
    """Maximum over (frames, bands), with as many steps as the input gives ("valid") or rounded up ("same"), and ReLU:
    the maximum of rectified values is the rectified maximum, which costs less."""

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
    rough_layers: tuple[Layer, ...]
    """The same in bfloat16 where that is faster; else the same."""
    num_classes: int
    device: str
    weights_sha256: str

    @property
    def frames_per_batch(self) -> int:
        """Frames of all groups that `predict` should get at once."""
        return FRAMES_PER_BATCH if self.device == "cpu" else GPU_FRAMES_PER_BATCH

    def predict(self, groups: NDArray[np.float32], step: int = PATCH_STEP, rough: bool = False) -> NDArray[np.float32]:
        """Class probabilities of the patches of groups.

        Args:
            groups: float32 [num_groups, 68 + step * (group_size - 1), 21], normalised.
            step: frames from one patch of a group to the next: 2, 4 or (network smn) 8.
            rough: about three digits will do.

        Returns:
            float32 [num_groups, group_size, num_classes]
        """
        import torch

        layers = self.rough_layers if rough else self.layers
        assert isinstance(layers[0], Convolution)
        with torch.inference_mode():
            x = torch.from_numpy(groups).to(self.device, layers[0].weight.dtype)
            x = x[:, None].contiguous(memory_format=torch.channels_last)
            x = _run_single(layers, x) if x.shape[2] == PATCH_FRAMES else _run_shared(layers, x, step)
            return x.float().cpu().numpy()


def _run_single(layers: tuple[Layer, ...], x: "torch.Tensor") -> "torch.Tensor":
    """Patches [n, 1, 68, 21] to probabilities [n, 1, num_classes], layer by layer as Keras runs them."""
    for layer in layers:
        match layer:
            case Convolution():
                x = _convolve(layer, x)
            case Pool():
                x = _pool(layer, x, _missing_frames(x.shape[2], layer), layer.size[0])
            case Dense():
                x = _run_dense(layer, x)
    return x


def _run_shared(layers: tuple[Layer, ...], x: "torch.Tensor", step: int) -> "torch.Tensor":
    """Groups [n, 1, 68 + step * (G - 1), 21] to probabilities [n, G, num_classes].

    `dilation` is the distance, in positions of x, between neighbours of the patch-by-patch network. A pool steps by
    one patch where that is less than its size; from there on a position is a patch. Inside a group the padding of a
    patch's first and last window is replaced by the neighbours' frames: the one approximation beside normalisation.
    """
    dilation, frames = 1, PATCH_FRAMES
    for layer in layers:
        match layer:
            case Convolution():
                x = _convolve(layer, x, dilation)
                frames -= layer.weight.shape[2] - 1
            case Pool():
                stride = min(step, layer.size[0])
                x = _pool(layer, x, _missing_frames(frames, layer), stride, dilation)
                frames = (frames + _missing_frames(frames, layer)) // layer.size[0]
                dilation, step = dilation * layer.size[0] // stride, step // stride
            case Dense():
                x = _run_dense(layer, x)
    return x


def _convolve(layer: Convolution, x: "torch.Tensor", dilation: int = 1) -> "torch.Tensor":
    from torch.nn import functional

    x = functional.conv2d(x, layer.weight, layer.bias, dilation=(dilation, 1))
    return x if layer.is_pooled else x.relu_()


def _pool(layer: Pool, x: "torch.Tensor", missing_frames: int, stride: int, dilation: int = 1) -> "torch.Tensor":
    """Keras pads half of what is missing on each side, and the odd one behind, which is what rounding up does."""
    from torch.nn import functional

    missing_bands = -x.shape[3] % layer.size[1] if layer.padded else 0
    padding = (missing_frames // 2, missing_bands // 2)
    steps = (stride, layer.size[1])
    return functional.max_pool2d(x, layer.size, steps, padding, (dilation, 1), ceil_mode=layer.padded).relu_()


def _missing_frames(frames: int, pool: Pool) -> int:
    """Frames that Keras' "same" pooling adds around a patch's `frames`."""
    return -frames % pool.size[0] if pool.padded else 0


def _run_dense(layer: Dense, x: "torch.Tensor") -> "torch.Tensor":
    """[n, channels, positions, 1] (from convolutions) or [n, positions, channels] to [n, positions, channels out]."""
    from torch.nn import functional

    x = x.flatten(2).transpose(1, 2) if x.dim() == 4 else x
    x = functional.linear(x, layer.weight, layer.bias)
    return x.softmax(-1) if layer.is_last else x.relu_()


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
    except (RuntimeError, AssertionError) as error:
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
    with h5py.File(io.BytesIO(data), "r") as file:
        layers = tuple(_read_layers(file, device))
    last = layers[-1]
    assert isinstance(last, Dense)
    if device != "cpu":
        torch.backends.cudnn.allow_tf32 = False  # off by 1e-3 where bands are to be settled in fp32
    if torch.device(device).type == "cuda":
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
    group.visititems(
        lambda name, item: (
            arrays.__setitem__(name.split("/")[-1].split(":")[0], np.asarray(item, np.float64))
            if hasattr(item, "shape")
            else None
        )
    )
    return arrays
