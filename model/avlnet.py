"""AVLnet: an audio network and a gated video head that embed clips in one space.

The module tree carries the state-dict keys of the original (github roudimit/AVLnet): its published weights load.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.settings import AUDIO_WIDTHS

NUM_MELS = 40
_BLOCKS_PER_STAGE = 2
_KERNEL = 9


class SpeechBlock(nn.Module):
    """Two convolutions over time with a residual."""

    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        padding = (0, _KERNEL // 2)
        self.conv1 = nn.Conv2d(num_in, num_out, (1, _KERNEL), (1, stride), padding, bias=False)
        self.bn1 = nn.BatchNorm2d(num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, (1, _KERNEL), 1, padding, bias=False)
        self.bn2 = nn.BatchNorm2d(num_out)
        self.stride = stride
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(num_in, num_out, 1, (1, stride), bias=False), nn.BatchNorm2d(num_out)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, num_in, 1, T] -> [B, num_out, 1, ceil(T / stride)]."""
        residual = inputs if self.downsample is None else self.downsample(inputs)
        hidden = F.relu(self.bn1(self.conv1(inputs)))
        return F.relu(self.bn2(self.conv2(hidden)) + residual)

    def num_inputs(self, num_outputs: int) -> int:
        """Steps of the input that the first `num_outputs` steps of the output see."""
        reach = _KERNEL // 2
        return self.stride * (num_outputs - 1 + reach) + 1 + reach


class AudioNetwork(nn.Module):
    """DAVEnet with residual blocks: log-mel frames to a sequence a sixteenth as long."""

    def __init__(self, widths: Sequence[int] = AUDIO_WIDTHS) -> None:
        super().__init__()
        # In the original's state dict, but outside its forward pass: without a gradient Adam leaves it alone.
        self.batchnorm1 = nn.BatchNorm2d(1).requires_grad_(False)
        self.conv1 = nn.Conv2d(1, widths[0], (NUM_MELS, 1), bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                SpeechBlock(num_in, num_out, 2),
                *(SpeechBlock(num_out, num_out, 1) for _ in range(_BLOCKS_PER_STAGE - 1)),
            )
            for num_in, num_out in pairwise(widths)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                height, width = module.kernel_size
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / (height * width * module.out_channels)))

    def forward(self, audio: Tensor, num_needed: int | None = None) -> Tensor:
        """[B, 40, T] -> [B, widths[-1], T / 16 rounded up at each of four halvings].

        With `num_needed` only so many steps of the output are right, and there are hardly more: what only later steps
        see is cut away before each block, up to a quarter of the arithmetic on a clip of 5 s. For eval mode: batch
        statistics would change.
        """
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        blocks = [cast(SpeechBlock, block) for stage in stages for block in stage]
        seen = [audio.shape[2]] * len(blocks)
        if num_needed is not None:
            for i in reversed(range(len(blocks))):
                num_needed = seen[i] = blocks[i].num_inputs(num_needed)
        hidden = F.relu(self.bn1(self.conv1(audio.unsqueeze(1))))
        for block, length in zip(blocks, seen, strict=True):
            hidden = block(hidden[..., :length])
        return hidden.squeeze(2)


class ContextGating(nn.Module):
    """x * sigmoid(W x + b)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, dim)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, dim] -> [B, dim]."""
        return F.glu(torch.cat([inputs, self.fc(inputs)], dim=1), dim=1)


class GatedUnit(nn.Module):
    """A linear layer and its context gate."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(num_in, num_out)
        self.cg = ContextGating(num_out)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, num_in] -> [B, num_out]."""
        gated: Tensor = self.cg(self.fc(inputs))
        return gated


class AVLNet(nn.Module):
    """Bimodal AVLnet; embeddings are compared by raw dot product, without L2 normalisation, as in the original.

    Args:
        embedding_dim: size of both embeddings.
        video_dim: size of the pooled video feature, 2D and 3D together (4096 in the paper; 2048 for images).
        widths: channels of the audio network; anything but the default cannot load the published weights.
        mask_padding: in train mode too, average only over the frames of the clip (the original averages over padding).
    """

    def __init__(
        self,
        embedding_dim: int = 4096,
        video_dim: int = 4096,
        widths: Sequence[int] = AUDIO_WIDTHS,
        mask_padding: bool = False,
    ) -> None:
        super().__init__()
        self.embedding_dim, self.video_dim, self.mask_padding = embedding_dim, video_dim, mask_padding
        self.widths = tuple(widths)
        self.DAVEnet = AudioNetwork(widths)
        self.DAVEnet_projection = nn.Linear(widths[-1], embedding_dim)
        self.GU_audio = GatedUnit(widths[-1], widths[-1])
        self.GU_video = GatedUnit(video_dim, embedding_dim)

    def forward(
        self, audio: Tensor, num_frames: Tensor | npt.NDArray[np.int64], video: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embed a batch of clips.

        Args:
            audio: [B, 40, T] dB relative to the clip's maximum, padded with 0 to the right.
            num_frames: int64 [B], frames of each clip before padding or cutting; left unchanged. On the CPU, since its
                values are asked for: as an array where DistributedDataParallel would move a tensor.
            video: [B, video_dim], halves L2-normalised.

        Returns:
            (audio_embedding, video_embedding), each [B, embedding_dim].
        """
        return self.embed_audio(audio, torch.as_tensor(num_frames)), self.embed_video(video)

    def embed_audio(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        """[B, 40, T] and int64 [B] -> [B, embedding_dim]."""
        if self.training and not self.mask_padding:
            pooled = self.DAVEnet(audio).mean(dim=2)
        else:
            num_steps = num_pooled_steps(audio.shape[2])
            num_valid = (num_frames // round(audio.shape[2] / num_steps)).clamp(1, num_steps)
            hidden = self.DAVEnet(audio, None if self.training else int(num_valid.max()))
            pooled = mean_of_valid(hidden, num_valid)
        embedding: Tensor = self.DAVEnet_projection(self.GU_audio(pooled))
        return embedding

    def embed_video(self, video: Tensor) -> Tensor:
        """[B, video_dim] -> [B, embedding_dim]."""
        embedding: Tensor = self.GU_video(video)
        return embedding


def num_pooled_steps(num_frames: int) -> int:
    """Length of the audio network's output: frames halved four times, rounded up each time."""
    for _ in range(4):
        num_frames = -(-num_frames // 2)
    return num_frames


def mean_of_valid(hidden: Tensor, num_valid: Tensor) -> Tensor:
    """Mean over the first `num_valid` of T steps, at least 1 and at most T: [B, C, T], int64 [B] -> [B, C].

    A slice per clip instead of a mask: the sum then runs in the same order whatever the padding, so that embeddings
    do not depend on how long the batch is.
    """
    counts = num_valid.clamp(1, hidden.shape[2]).tolist()
    return torch.stack([clip[:, :count].mean(dim=1) for clip, count in zip(hidden.unbind(0), counts, strict=True)])
