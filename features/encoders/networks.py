"""A network of the table of encoders, or of a library, with its weights and behind its own preprocessing."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from datasets.files import sha256_of
from features.encoders.libraries import LIBRARIES, describe_network, enlarged
from features.encoders.shapes import NOT_STATED
from features.encoders.table import ENCODERS, EncoderSpec
from features.encoders.torch_engine import Normalised, fold_batch_norms
from features.encoders.weights import load_into, read_weights, tensors_sha256, untrained_weights
from features.settings import UNTRAINED

_EPSILON = 1e-8
"""The reference adds it to every standard deviation."""


def build_network(name: str, weights: str | None) -> tuple[EncoderSpec, nn.Module, str]:
    """A network by name with its weights, behind its own preprocessing.

    Args:
        name: a row of `ENCODERS`, torchvision/NAME or timm/NAME.
        weights: as in `features.encoders.encoder.load_encoder`.

    Returns:
        (its row of the table with the licence of these weights, the network, the sha256 of its weights)

    Raises:
        ValueError: an unknown name, or weights that are missing or do not fit.
    """
    spec = ENCODERS[name] if name in ENCODERS else describe_network(name)
    library = LIBRARIES[spec.library]
    network = library.build(spec.model)
    sha256 = _load_weights(network, name, spec, weights)
    if spec.is_folded:
        fold_batch_norms(network.eval())
    features = library.features(network)
    if spec.num_frames:
        std = [value + _EPSILON for value in spec.std]
        features = Normalised(enlarged(features, spec.side), spec.scale, spec.mean, std)
    license = _license_of(spec, weights, sha256)
    return replace(spec, license=license), features.eval().requires_grad_(False).float(), sha256


def _load_weights(network: nn.Module, name: str, spec: EncoderSpec, weights: str | None) -> str:
    if weights == UNTRAINED:
        tensors = untrained_weights({key: value.shape for key, value in network.state_dict().items()})
        load_into(network, tensors, UNTRAINED)
        return tensors_sha256(tensors)
    download = LIBRARIES[spec.library].download
    if weights is None and download is None:
        raise ValueError(f"weights: {name} has no published download; give a file, or {UNTRAINED!r}")
    path = Path(weights) if weights is not None else download(spec.model)  # type: ignore[misc]
    load_into(network, LIBRARIES[spec.library].keys(read_weights(path), spec.model), str(path))
    sha256 = sha256_of(path)
    if weights is None and spec.sha256 is not None and not sha256.startswith(spec.sha256):
        raise ValueError(f"weights: {path} must have sha256 {spec.sha256}, got {sha256}")
    return sha256


def _license_of(spec: EncoderSpec, weights: str | None, sha256: str) -> str | None:
    """Of the weights that were loaded; those of a given file are the published ones only if their sha256 says so."""
    if weights == UNTRAINED:
        return None
    if weights is None or (spec.sha256 is not None and sha256.startswith(spec.sha256)):
        return spec.license
    published = "" if spec.license == NOT_STATED else f"; that of the published weights: {spec.license}"
    return f"{NOT_STATED}{published}"
