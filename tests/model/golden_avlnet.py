"""The original's golden numbers: weights and inputs by rule."""

import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.avlnet import AVLNet

FOLDER = Path(__file__).parents[1] / "golden" / "avlnet"
RULE = runpy.run_path(str(FOLDER / "weights_rule.py"))


def shapes(variant: str = "AVLnet_4096") -> dict[str, list[int]]:
    return json.loads((FOLDER / "state_dict_shapes.json").read_text())[variant]


@cache
def state_dict(variant: str = "AVLnet_4096") -> dict[str, torch.Tensor]:
    return {key: torch.as_tensor(value) for key, value in RULE["fill"](shapes(variant)).items()}


def golden_model() -> AVLNet:
    with torch.device("meta"):
        model = AVLNet()
    model.load_state_dict({key: value.clone() for key, value in state_dict().items()}, strict=True, assign=True)
    model.DAVEnet.batchnorm1.requires_grad_(False)
    return model.eval()


def audio(tag: str, num_padded: int, num_frames: list[int]) -> torch.Tensor:
    batch = np.zeros((len(num_frames), 40, num_padded), np.float32)
    for i, length in enumerate(min(n, num_padded) for n in num_frames):
        batch[i, :, :length] = np.clip(RULE["arr"](f"{tag}/{i}", (40, length), 20.0, -40.0), -80, 0)
    return torch.from_numpy(batch)


def video(tag: str, batch_size: int) -> torch.Tensor:
    halves = [np.abs(RULE["arr"](f"{tag}/{k}", (batch_size, 2048))) for k in (0, 1)]
    return torch.from_numpy(np.concatenate([x / np.linalg.norm(x, axis=1, keepdims=True) for x in halves], 1))


def load(name: str) -> Any:
    return np.load(FOLDER / name, allow_pickle=False)


def relative_error(actual: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value."""
    return float(np.abs(actual.detach().numpy() - expected).max() / np.abs(expected).max())
