"""Which patches of a file the CNN must see, normalised and grouped for it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.speech_decoding import find_runs
from extract.speech_network import PATCH_BANDS, PATCH_FRAMES, PATCH_STEP, SpeechNetwork

PATCHES_PER_BATCH = 512
STATISTICS_BLOCK = 16384
EDGE_LABELS = PATCH_FRAMES // (2 * PATCH_STEP)
"""Labels before the middle of the first patch; they take the first patch's scores, and the last ones the last's."""


@dataclass(frozen=True)
class Patches:
    """The normalisation of every patch of a file."""

    log_mel: NDArray[np.float32]
    """[num_frames, 24], at least 68 frames; -inf where the signal was digital silence."""
    means: NDArray[np.float32]
    """[num_patches]"""
    deviations: NDArray[np.float32]
    """[num_patches]"""
    is_finite: NDArray[np.bool_]
    """[num_patches]; False where a patch holds digital silence or is constant: the CNN has no opinion there."""


def measure_patches(log_mel: NDArray[np.float32]) -> Patches:
    """Mean and deviation of each 68 x 21 patch, every second frame, of log mel bands [num_frames, 24].

    Files under 68 frames are filled up with their lowest value.
    """
    missing = PATCH_FRAMES - len(log_mel)
    if missing > 0:
        log_mel = np.concatenate([log_mel, np.full((missing, log_mel.shape[1]), log_mel.min(), np.float32)])
    num_values = PATCH_FRAMES * PATCH_BANDS
    sums, squares, frame_is_finite = _measure_frames(log_mel)
    means = _sum_windows(sums) / num_values
    deviations = np.sqrt(np.maximum(_sum_windows(squares) / num_values - means**2, 0))
    all_finite = _sum_windows(frame_is_finite) == PATCH_FRAMES
    is_finite = all_finite & (deviations > 1e-6)
    return Patches(log_mel, means.astype(np.float32), deviations.astype(np.float32), is_finite)


def _measure_frames(log_mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """[3, num_frames]: sum, sum of squares, and 1 where all is finite, of each frame; a block at a time."""
    measured = np.zeros((3, len(log_mel)))
    for start in range(0, len(log_mel), STATISTICS_BLOCK):
        block = log_mel[start : start + STATISTICS_BLOCK, :PATCH_BANDS].astype(np.float64)
        finite = np.isfinite(block).all(axis=1)
        block[~finite] = 0
        measured[:, start : start + STATISTICS_BLOCK] = block.sum(axis=1), (block**2).sum(axis=1), finite
    return measured


def _sum_windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of 68 frames, every second frame."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((sums[PATCH_FRAMES:] - sums[:-PATCH_FRAMES])[::PATCH_STEP])


def patch_of_labels(num_labels: int, num_patches: int) -> NDArray[np.int64]:
    """The patch that decides each 20 ms label: the one around it, or the first or last near the file's ends."""
    return np.clip(np.arange(num_labels) - EDGE_LABELS, 0, num_patches - 1)


def score_patches(
    patches: Patches, wanted: NDArray[np.bool_], network: SpeechNetwork, group_size: int, every: int = 1
) -> NDArray[np.float32]:
    """Run the CNN on the wanted patches.

    Args:
        patches: of one file.
        wanted: bool [num_patches]; patches that are not finite are left out in any case.
        network: the CNN.
        group_size: neighbouring patches that share one normalisation and one convolution; 1 is the network itself.
        every: 2 or 4 computes each second or fourth patch of a group and repeats it; divides group_size.

    Returns:
        float32 [num_patches, num_classes] probabilities; 0.5 for every class where nothing was computed.
    """
    probabilities = np.full((len(wanted), network.num_classes), 0.5, np.float32)
    starts, sizes = _group_runs(wanted & patches.is_finite, group_size)
    for batch in _batches(len(starts), max(1, PATCHES_PER_BATCH // group_size)):
        groups = _cut_groups(patches, starts[batch], sizes[batch], group_size, every)
        scores = network.predict(groups, PATCH_STEP * every).repeat(every, axis=1)
        for start, size, score in zip(starts[batch], sizes[batch], scores, strict=True):
            probabilities[start : start + size] = score[:size]
    return probabilities


def _batches(num_items: int, batch_size: int) -> Iterator[slice]:
    for start in range(0, num_items, batch_size):
        yield slice(start, start + batch_size)


def _group_runs(wanted: NDArray[np.bool_], group_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First patch and size of groups that cover each run of wanted patches, as even in size as can be."""
    starts, sizes = [], []
    for first, stop in find_runs(wanted):
        if not wanted[first]:
            continue
        num_groups = -(-(stop - first) // group_size)
        bounds = first + np.arange(num_groups + 1) * (stop - first) // num_groups
        starts.append(bounds[:-1])
        sizes.append(np.diff(bounds))
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *starts]), np.concatenate([empty, *sizes])


def _cut_groups(
    patches: Patches, starts: NDArray[np.int64], sizes: NDArray[np.int64], group_size: int, every: int
) -> NDArray[np.float32]:
    """[num_groups, num_frames, 21]: frames of each group under the mean normalisation of its patches."""
    num_frames = PATCH_FRAMES + PATCH_STEP * (group_size - every)
    first_frames = (starts + every // 2) * PATCH_STEP
    frames = np.minimum(first_frames[:, None] + np.arange(num_frames), len(patches.log_mel) - 1)
    members = np.minimum(starts[:, None] + np.arange(group_size), len(patches.means) - 1)
    weights = (np.arange(group_size) < sizes[:, None]) / sizes[:, None]
    means = (patches.means[members] * weights).sum(axis=1).astype(np.float32)
    deviations = (patches.deviations[members] * weights).sum(axis=1).astype(np.float32)
    bands = patches.log_mel[frames, :PATCH_BANDS]
    bands = np.where(np.isfinite(bands), bands, np.float32(0))
    return np.asarray((bands - means[:, None, None]) / deviations[:, None, None], np.float32)
