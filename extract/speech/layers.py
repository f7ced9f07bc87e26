"""The layers of the segmenter's CNN, run on single patches or on groups of them.

Neighbouring patches are nearly the same, so a group of them is normalised once and convolved once: pooling with a
stride becomes pooling at every patch position, and what follows it is dilated. A group of one patch is the network
itself. torch is loaded when a layer runs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PATCH_FRAMES = 68
PATCH_BANDS = 21
PATCH_STEP = 2
"""Frames between neighbouring patches: one patch, and one label, each 20 ms."""


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


def run_layers(layers: tuple[Layer, ...], x: "torch.Tensor", step: int) -> "torch.Tensor":
    """Groups [n, 1, 68 + step * (G - 1), 21], channels last, to probabilities [n, G, num_classes]."""
    return _run_single(layers, x) if x.shape[2] == PATCH_FRAMES else _run_shared(layers, x, step)


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
