"""ResNeXt-101 3D (16 frames, 112x112, cardinality 32, shortcut B), with the state-dict keys of the HowTo100M extractor.

Architecture: Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?" (CVPR 2018).
"""

import torch
from torch import nn

FEATURE_DIM = 2048
_EXPANSION = 2
_CARDINALITY = 32


class _Block(nn.Module):
    """1x1x1, grouped 3x3x3, 1x1x1, and a 1x1x1 shortcut where the shape changes."""

    def __init__(self, num_in: int, width: int, stride: int, is_first: bool) -> None:
        super().__init__()
        num_out = _EXPANSION * width
        self.conv1 = nn.Conv3d(num_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, groups=_CARDINALITY, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, num_out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(num_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if is_first:
            self.downsample = nn.Sequential(nn.Conv3d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm3d(num_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return torch.as_tensor(self.relu(self.bn3(self.conv3(x)) + shortcut))


def _stage(num_in: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    blocks = [_Block(num_in, width, stride, is_first=True)]
    blocks += [_Block(_EXPANSION * width, width, 1, is_first=False) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)


class ResNeXt3D(nn.Module):
    """[N, 3, 16, 112, 112] RGB minus the Kinetics mean -> features [N, 2048].

    `fc` (400 Kinetics classes) is kept so that released files load as they are; the features are what feeds it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        self.layer1 = _stage(64, 128, 3, stride=1)
        self.layer2 = _stage(256, 256, 4, stride=2)
        self.layer3 = _stage(512, 512, 23, stride=2)
        self.layer4 = _stage(1024, 1024, 3, stride=2)
        self.fc = nn.Linear(FEATURE_DIM, 400)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Clips [N, 3, 16, 112, 112] -> features [N, 2048]."""
        x: torch.Tensor = self.maxpool(self.relu(self.bn1(self.conv1(clips))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3, 4))
