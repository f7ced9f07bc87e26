"""What the graph of a batch costs, and whether the machine has room for it."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from model.data import Batch

SHARE = 0.25
"""Of the machine's or the GPU's memory that the graph of one batch may fill."""
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
_BYTES_PER_VALUE = 4
_PER_STEM, _PER_STAGE = 2, 9
"""Activations kept per channel and step: what each batch norm reads and each ReLU gives; a stage has two blocks."""


def has_room_for_graph(pieces: Sequence[Batch], widths: Sequence[int], device: torch.device, num_sharing: int) -> bool:
    """Whether the graph of all pieces may be kept until the loss is known; the same on every run on a machine.

    Args:
        pieces: the clips of this process.
        widths: of the audio network.
        device: where the model runs.
        num_sharing: processes that the memory is divided over; a GPU is one process's own.
    """
    num_frames = sum(piece.audio.shape[0] * piece.audio.shape[2] for piece in pieces)
    if device.type == "cuda":
        there = int(torch.cuda.get_device_properties(device).total_memory)
    else:
        of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = _CONTAINER_LIMIT.read_text().strip() if _CONTAINER_LIMIT.is_file() else "max"
        there = min(of_machine, int(limit) if limit.isdigit() else of_machine) // num_sharing
    return graph_bytes(num_frames, widths) <= SHARE * there


def tell_memory_of_statistics(
    pieces: Sequence[Batch], widths: Sequence[int], device: torch.device, num_sharing: int
) -> str | None:
    """What batch statistics over a whole piece want of the memory, where that is more than its share."""
    largest = max(pieces, key=lambda piece: piece.audio.shape[0] * piece.audio.shape[2])
    if has_room_for_graph([largest], widths, device, num_sharing):
        return None
    size, _, num_frames = largest.audio.shape
    num_gb = graph_bytes(size * num_frames, widths) / 1e9
    return (
        f"batch statistics over {size} clips of {num_frames} frames want {num_gb:.1f} GB, more than {SHARE:.0%} "
        "of the memory: should it run out, set train.statistics_over to fewer clips"
    )


def graph_bytes(num_frames: int, widths: Sequence[int]) -> int:
    """Bytes of activations that backpropagation through the audio network needs, in float32: 10 KB a padded frame.

    The network halves time before each stage, so that a stage costs what its width is divided by its step.
    """
    values = _PER_STEM * widths[0] + sum(_PER_STAGE * width / 2**stage for stage, width in enumerate(widths[1:], 1))
    return int(num_frames * values * _BYTES_PER_VALUE)
