"""TransNet V2 with the state-dict keys of its PyTorch package, and its conversion for OpenVINO in a process of its own.

Architecture: Soucek and Lokoc, "TransNet V2" (2020). python -m features.quality.shot_network WEIGHTS NETWORK.xml
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from features.encoders.weights import load_into, read_weights
from features.kept_networks import end_with_parent
from features.tracing import save_traced

HEIGHT, WIDTH = 27, 48
_REACH = 50
"""Frames before and after one that it is compared with."""


class _Separable(nn.Module):
    def __init__(self, num_in: int, width: int, dilation: int) -> None:
        super().__init__()
        space = nn.Conv3d(num_in, 2 * width, (1, 3, 3), padding=(0, 1, 1), bias=False)
        time = nn.Conv3d(2 * width, width, (3, 1, 1), padding=(dilation, 0, 0), dilation=(dilation, 1, 1), bias=False)
        self.layers = nn.Sequential(space, time)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layers(x))


class _Dilated(nn.Module):
    def __init__(self, num_in: int, width: int) -> None:
        super().__init__()
        for dilation in (1, 2, 4, 8):
            self.add_module(f"Conv3D_{dilation}", _Separable(num_in, width, dilation))
        self.bn = nn.BatchNorm3d(4 * width, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [layer(x) for name, layer in self.named_children() if name != "bn"]
        return torch.as_tensor(self.bn(torch.cat(parts, 1)))


class _Stack(nn.Module):
    def __init__(self, num_in: int, width: int) -> None:
        super().__init__()
        self.DDCNN = nn.ModuleList([_Dilated(num_in, width), _Dilated(4 * width, width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.DDCNN[0](x))
        return functional.avg_pool3d(torch.relu(self.DDCNN[1](first)) + first, (1, 2, 2))


class _Similarity(nn.Module):
    """How like each frame is to those around it, from features [1, T, D] -> [1, T, 128]."""

    def __init__(self, num_in: int | None) -> None:
        super().__init__()
        if num_in is not None:
            self.projection = nn.Linear(num_in, 128)
        self.fc = nn.Linear(2 * _REACH + 1, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if hasattr(self, "projection"):
            x = self.projection(x)
        x = functional.normalize(x, dim=2)
        alike = functional.pad(torch.bmm(x, x.transpose(1, 2)), (_REACH, _REACH))
        around = torch.arange(x.shape[1])[:, None] + torch.arange(2 * _REACH + 1)[None]
        return torch.relu(self.fc(torch.gather(alike, 2, around[None])))


class ShotNetwork(nn.Module):
    """Frames uint8 [1, T, 27, 48, 3] -> chance that a shot ends at each, [1, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.SDDCNN = nn.ModuleList([_Stack(3, 16), _Stack(64, 32), _Stack(128, 64)])
        self.frame_sim_layer, self.color_hist_layer = _Similarity(448), _Similarity(None)
        self.fc1 = nn.Linear(4864, 1024)
        self.cls_layer1, self.cls_layer2 = nn.Linear(1024, 1), nn.Linear(1024, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = frames.permute(0, 4, 1, 2, 3).float() / 255
        means = []
        for stack in self.SDDCNN:
            x = stack(x)
            means.append(x.mean((3, 4)))
        spread = x.permute(0, 2, 3, 4, 1).flatten(2)
        alike = self.frame_sim_layer(torch.cat(means, 1).transpose(1, 2))
        x = torch.cat([self.color_hist_layer(_histograms(frames)), alike, spread], 2)
        return torch.sigmoid(self.cls_layer1(torch.relu(self.fc1(x))))[..., 0]


def _histograms(frames: torch.Tensor) -> torch.Tensor:
    """Pixels of each of 512 colours, [1, T, 512]."""
    high = frames.int() >> 5
    colours = ((high[..., 0] << 6) + (high[..., 1] << 3) + high[..., 2]).flatten(2).long()
    return torch.zeros(1, frames.shape[1], 512).scatter_add(2, colours, torch.ones_like(colours, dtype=torch.float32))


def main(weights: str, target: str) -> None:
    """Write the network for OpenVINO, for any number of frames."""
    network = ShotNetwork().eval()
    load_into(network, read_weights(weights), weights)
    frames = torch.zeros(1, 60, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    save_traced(network, frames, [1, -1, HEIGHT, WIDTH, 3], Path(target))


if __name__ == "__main__":
    end_with_parent()
    main(*sys.argv[1:])
