"""Networks by name from torchvision and timm: any image classifier of theirs without its head is a 2D encoder."""

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from features.encoders.shapes import NetworkShape
from features.frames.filters import SHORT_SIDE_2D

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_PROBES = (((256, 320), None), ((SHORT_SIDE_2D,), SHORT_SIDE_2D))
"""Widths and crop: frames as they are where the network gives one dimension for any, else their centre square."""


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(NetworkShape):
    """One line of the table of encoders."""

    build: Callable[[], nn.Module]
    """The network with the keys of its released weights."""
    features: Callable[[nn.Module], nn.Module]
    """The loaded network -> a module that gives features [N, D]."""
    scale: float
    """Pixels (0 to 255) are divided by it, then normalised by mean and std."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    default_weights: Callable[[], Path] | None = None
    sha256: str | None = None
    """Of the default weights."""


def torchvision_spec(name: str) -> EncoderSpec:
    """A classifier of torchvision; its dimension is not yet known."""
    return EncoderSpec(
        build=lambda: _build_torchvision(name),
        features=without_head,
        dim=0,
        num_frames=1,
        scale=255.0,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        default_weights=lambda: _download_torchvision(name),
    )


def find_torchvision(name: str) -> EncoderSpec:
    """Any classifier of torchvision by its name there.

    Raises:
        ValueError: torchvision has no such classifier, or none that takes frames of short side 224.
    """
    return _probed(f"torchvision/{name}", torchvision_spec(name))


def find_timm(name: str) -> EncoderSpec:
    """Any network of timm by its name there, with timm's own mean and standard deviation.

    Raises:
        ValueError: timm is not installed, has no such network, or none that takes frames of short side 224.
    """
    if importlib.util.find_spec("timm") is None:
        raise ValueError(f"encoder timm/{name}: timm is not installed; `pip install timm safetensors`")
    spec = replace(
        torchvision_spec(name),
        build=lambda: _build_timm(name),
        features=_without_timm_head,
        default_weights=lambda: _download_timm(name),
    )
    config: Any = _build_timm(name).pretrained_cfg
    return _probed(f"timm/{name}", replace(spec, mean=tuple(config["mean"]), std=tuple(config["std"])))


LIBRARIES: dict[str, Callable[[str], EncoderSpec]] = {"torchvision": find_torchvision, "timm": find_timm}


def without_head(network: nn.Module) -> nn.Module:
    """The network with its last linear layer (fc, classifier, head or heads) replaced by nothing."""
    for name in ("fc", "classifier", "head", "heads"):
        if hasattr(network, name):
            setattr(network, name, nn.Identity())
            return network
    raise ValueError(f"encoder {type(network).__name__} has no fc, classifier, head or heads to take off")


def _probed(name: str, spec: EncoderSpec) -> EncoderSpec:
    """The spec with what only a forward pass tells: the dimension, and whether frames must be cropped to a square."""
    network = spec.features(spec.build()).eval()
    for widths, crop in _PROBES:
        try:
            with torch.inference_mode():
                shapes = {tuple(network(torch.zeros(1, 3, SHORT_SIDE_2D, width)).shape) for width in widths}
        except (RuntimeError, AssertionError, ValueError):
            continue
        if len(shapes) == 1 and len(shape := shapes.pop()) == 2:
            return replace(spec, dim=int(shape[1]), crop=crop)
    raise ValueError(f"encoder {name} gives no vector for frames of short side {SHORT_SIDE_2D}; choose another network")


def _build_torchvision(name: str) -> nn.Module:
    import torchvision

    try:
        network: nn.Module = torchvision.models.get_model(name, weights=None)
    except ValueError as error:
        raise ValueError(f"encoder torchvision/{name}: {error}; see torchvision.models.list_models()") from error
    return network


def _download_torchvision(name: str) -> Path:
    """torchvision's IMAGENET1K_V1 file of a network; V2 is another recipe."""
    import torchvision

    weights = torchvision.models.get_weight(f"{torchvision.models.get_model_weights(name).__name__}.IMAGENET1K_V1")
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        # What its sha256 begins with, by torch's custom of naming files NAME-HASH.pth.
        named = re.fullmatch(r".*-([0-9a-f]{8,})\.pth", path.name)
        try:
            torch.hub.download_url_to_file(weights.url, str(path), named[1] if named else None, progress=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"weights: {name}: no download of {Path(weights.url).name} ({error}); give a file"
            ) from error
    return path


def _build_timm(name: str) -> nn.Module:
    import timm

    try:
        network: nn.Module = timm.create_model(name, pretrained=False)
    except RuntimeError as error:
        raise ValueError(f"encoder timm/{name}: {error}; see timm.list_models()") from error
    return network


def _without_timm_head(network: nn.Module) -> nn.Module:
    network.reset_classifier(0)  # type: ignore[operator]
    return network


def _download_timm(name: str) -> Path:
    """The safetensors file of timm's own repository of the network."""
    from huggingface_hub import hf_hub_download

    repository = _build_timm(name).pretrained_cfg.get("hf_hub_id")  # type: ignore[union-attr,operator]
    if not repository:
        raise ValueError(f"weights: timm/{name} has no published weights; give a file")
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f"weights: timm/{name}: no download of {repository} ({reason}); give a file") from error
