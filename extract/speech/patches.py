"""Which patches of a file the CNN must see, normalised and grouped for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.full_batches import share_batches
from extract.speech.front_end import SpeechFeatures
from extract.speech.labels import find_true_runs
from extract.speech.layers import PATCH_BANDS, PATCH_FRAMES, PATCH_STEP
from extract.speech.network import SpeechNetwork

STATISTICS_BLOCK = 8192
"""Patches measured at a time."""
EDGE_LABELS = PATCH_FRAMES // (2 * PATCH_STEP)
"""Labels before the middle of the first patch; they take the first patch's scores, and the last ones the last's."""


@dataclass(frozen=True)
class Patches:
    """The normalisation of every patch of a file."""

    features: SpeechFeatures
    log_mel: NDArray[np.float32]
    """[num_frames, 21], at least 68 frames; -inf where the signal was digital silence."""
    means: NDArray[np.float32]
    """[num_patches]"""
    deviations: NDArray[np.float32]
    """[num_patches]"""
    is_finite: NDArray[np.bool_]
    """[num_patches]; False where a patch holds digital silence or is constant: the CNN has no opinion there."""


def measure_patches(features: SpeechFeatures) -> Patches:
    """Mean and deviation of each 68 x 21 patch, every second frame.

    Files under 68 frames are filled up with their lowest value.
    """
    log_mel = features.log_mel
    missing = PATCH_FRAMES - len(log_mel)
    if missing > 0:
        log_mel = np.concatenate([log_mel, np.full((missing, log_mel.shape[1]), features.lowest_log_mel, np.float32)])
    num_patches = (len(log_mel) - PATCH_FRAMES) // PATCH_STEP + 1
    num_values = PATCH_FRAMES * PATCH_BANDS
    means, deviations = np.empty(num_patches, np.float32), np.empty(num_patches, np.float32)
    is_finite = np.empty(num_patches, bool)
    for start in range(0, num_patches, STATISTICS_BLOCK):
        block = slice(start, min(start + STATISTICS_BLOCK, num_patches))
        bands = log_mel[block.start * PATCH_STEP : (block.stop - 1) * PATCH_STEP + PATCH_FRAMES].astype(np.float64)
        finite = np.isfinite(bands).all(axis=1)
        bands[~finite] = 0
        mean = _sum_windows(bands.sum(axis=1)) / num_values
        deviation = np.sqrt(np.maximum(_sum_windows((bands**2).sum(axis=1)) / num_values - mean**2, 0))
        all_finite = _sum_windows(np.asarray(finite, np.float64)) == PATCH_FRAMES
        means[block], deviations[block], is_finite[block] = mean, deviation, all_finite & (deviation > 1e-6)
        features.release_memory()
    return Patches(features, log_mel, means, deviations, is_finite)


def _sum_windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of 68 frames, every second frame."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((sums[PATCH_FRAMES:] - sums[:-PATCH_FRAMES])[::PATCH_STEP])


def patch_of_labels(num_labels: int, num_patches: int) -> NDArray[np.int32]:
    """The patch that decides each 20 ms label: the one around it, or the first or last near the file's ends."""
    return (np.arange(num_labels, dtype=np.int32) - np.int32(EDGE_LABELS)).clip(0, num_patches - 1)


def score_patches(
    files: Sequence[Patches],
    wanted: Sequence[NDArray[np.bool_]],
    network: SpeechNetwork,
    group_size: int,
    every: int = 1,
    rough: bool = False,
) -> list[NDArray[np.float32]]:
    """Run the CNN on the wanted patches of one or more files, which share its batches.

    Args:
        files: the patches of each file.
        wanted: for each file bool [num_patches]; patches that are not finite are left out in any case.
        network: the CNN.
        group_size: neighbouring patches that share one normalisation and one convolution; 1 is the network itself.
        every: 2 or 4 computes each second or fourth patch of a group and repeats it; divides group_size.
        rough: about three digits will do.

    Returns:
        For each file float32 [num_patches, num_classes] probabilities; 0.5 for every class where nothing was computed.
    """
    probabilities = [np.full((len(chosen), network.num_classes), 0.5, np.float32) for chosen in wanted]
    runs = [_group_runs(chosen & file.is_finite, group_size) for file, chosen in zip(files, wanted, strict=True)]
    num_groups = network.frames_per_batch // _group_frames(group_size, every)
    batches = [
        [(number, runs[number][0][part], runs[number][1][part]) for number, part in batch]
        for batch in share_batches([len(starts) for starts, _ in runs], max(1, num_groups))
    ]
    cut = (
        np.concatenate(
            [_cut_groups(files[number], starts, sizes, group_size, every) for number, starts, sizes in batch]
        )
        for batch in batches
    )
    for batch, scores in zip(batches, network.predict(cut, PATCH_STEP * every, rough), strict=True):
        rows = iter(scores.repeat(every, axis=1))
        for number, starts, sizes in batch:
            for start, size in zip(starts, sizes, strict=True):
                probabilities[number][start : start + size] = next(rows)[:size]
            files[number].features.release_memory()
    return probabilities


def _group_frames(group_size: int, every: int) -> int:
    return PATCH_FRAMES + PATCH_STEP * (group_size - every)


def _group_runs(wanted: NDArray[np.bool_], group_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First patch and size of groups that cover each run of wanted patches, as even in size as can be."""
    starts, sizes = [], []
    for first, stop in find_true_runs(wanted):
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
    num_frames = _group_frames(group_size, every)
    first_frames = (starts + every // 2) * PATCH_STEP
    frames = np.minimum(first_frames[:, None] + np.arange(num_frames), len(patches.log_mel) - 1)
    members = np.minimum(starts[:, None] + np.arange(group_size), len(patches.means) - 1)
    weights = (np.arange(group_size) < sizes[:, None]) / sizes[:, None]
    means = (patches.means[members] * weights).sum(axis=1).astype(np.float32)
    deviations = (patches.deviations[members] * weights).sum(axis=1).astype(np.float32)
    bands = patches.log_mel[frames]
    bands = np.where(np.isfinite(bands), bands, np.float32(0))
    return np.asarray((bands - means[:, None, None]) / deviations[:, None, None], np.float32)
