"""Weights of the encoders: files without pickled objects, their sha256, and deterministic untrained ones."""

import hashlib
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

_NOT_WEIGHTS = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError)
"""What `torch.load(weights_only=True)` raises for files that are not weights, or hold more than tensors."""


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of a .pth or .safetensors file; bare, `{'state_dict': ...}` and `module.`-prefixed layouts are equal.

    Raises:
        ValueError: the file is missing, holds anything but tensors, or is not a weights file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"weights: no file {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError  # whoever reads no such file can do without: benchmarks.gpu_check
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise ValueError(f"weights: {path} is not a safetensors file: {error}"[:300]) from error
        return {key.removeprefix("module."): value for key, value in tensors.items()}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _NOT_WEIGHTS as error:
        raise ValueError(f"weights: {path} is not a weights file of tensors only: {error}"[:300]) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"weights: {path} must hold a state dict of tensors")
    return {key.removeprefix("module."): value for key, value in content.items()}


def load_into(network: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Copy weights into a network: every key and shape must fit, but for BatchNorm's counters in old files.

    Raises:
        ValueError: keys that are missing or unknown, or the first shape that differs.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    unknown = [key for key in weights if key not in own]
    if missing or unknown:
        raise ValueError(
            f"weights: {source} does not fit: {len(missing)} keys missing {missing[:3]}, "
            f"{len(unknown)} unknown {unknown[:3]}"
        )
    for key, value in weights.items():
        if own[key].shape != value.shape:
            raise ValueError(
                f"weights: {source}: {key} must have shape {list(own[key].shape)}, got {list(value.shape)}"
            )
    network.load_state_dict(dict(weights), strict=False, assign=True)  # no second copy of them


def untrained_weights(shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Weights that depend on the names and shapes only: NumPy's legacy generator seeded by each name's CRC-32.

    Convolutions and linear layers get He's scale, the last BatchNorm of a residual branch is damped to 0.25, so that
    activations keep their size through a deep network. They were trained on nothing.
    """
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.from_numpy(np.zeros(tuple(shape), np.int64))
            continue
        normal = np.asarray(np.random.RandomState(zlib.crc32(name.encode())).standard_normal(size=tuple(shape)))
        if name.endswith("running_var"):
            values = 1.0 + 0.1 * np.abs(normal)
        elif name.endswith("running_mean"):
            values = 0.1 * normal
        elif len(shape) >= 2:
            values = normal * np.sqrt(2.0 / np.prod(shape[1:]))
        elif name.endswith("bn3.weight"):
            values = 0.25 * (1.0 + 0.1 * normal)
        elif name.endswith("weight"):
            values = 1.0 + 0.1 * normal
        else:
            values = 0.05 * normal
        tensors[name] = torch.from_numpy(np.asarray(values, np.float64).astype(np.float32))
    return tensors


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 of names, shapes and values, for weights that come from no file."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{list(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
