"""Which clips each step of an epoch trains on, in pieces that fit through the network; nothing here has a state."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model.data import Batch, ClipSet, padded_length, round_up_to_16
from model.pretraining import VideoSet
from model.settings import TrainSettings

Indices = npt.NDArray[np.int64]


def clips_per_item(train_set: ClipSet | VideoSet) -> int:
    """1, or the windows that are drawn together from a video."""
    return train_set.windows_per_video if isinstance(train_set, VideoSet) else 1


def clips_per_epoch(train_set: ClipSet | VideoSet) -> int:
    """All clips; of those with weights, as many as the weights add up to."""
    if isinstance(train_set, VideoSet) or train_set.weights is None:
        return len(train_set)
    return int(train_set.weights.sum() + 1e-6)


def draw_order(num_items: int, weights: npt.NDArray[np.float64] | None, seed: list[int]) -> Indices:
    """Items of an epoch in random order, each at most once: all, or each with the chance that is its weight.

    With weights by systematic sampling (Madow 1949) along a random order, so that every epoch has one size to within
    one item.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(num_items)
    if weights is None:
        return order
    marks = np.floor(np.cumsum(weights[order]).round(9) + generator.random())
    chosen: Indices = order[np.diff(marks, prepend=0.0) > 0]
    return chosen


def iterate_batches(
    train_set: ClipSet | VideoSet,
    settings: TrainSettings,
    epoch: int,
    first_step: int = 0,
    rank: int = 0,
    num_processes: int = 1,
) -> Iterator[list[Batch]]:
    """One process's share of each batch of an epoch, in the pieces that go through the network at once.

    In recipe upstream they are clips of similar length; in recipe proper, where batch statistics are taken over a
    piece, clips as they were drawn.

    Order and windows follow from seed, epoch and step alone, so that a resumed training need not remember any state
    of a random generator: it begins at `first_step`.
    """
    per_item = clips_per_item(train_set)
    num_items, size = len(train_set) // per_item, settings.batch_size // per_item
    weights = None if isinstance(train_set, VideoSet) else train_set.weights
    order = draw_order(num_items, weights, [settings.seed, epoch])
    for step in range(first_step, clips_per_epoch(train_set) // settings.batch_size):
        own = order[step * size : (step + 1) * size][rank::num_processes]
        if isinstance(train_set, VideoSet):
            clips = train_set.draw(own, [settings.seed, epoch])
            own = np.arange(len(clips))
        else:
            clips = train_set
        if settings.recipe == "upstream":
            groups = split_by_length(clips, own, settings.micro_batch_size)
        else:
            over = settings.statistics_over or len(own)
            groups = [own[start : start + over] for start in range(0, len(own), over)]
        batches = []
        for group in groups:
            num_padded = clips.padded_to
            if num_padded is None:
                longest = int(clips.num_frames[group].max())
                num_padded = padded_length(longest)
                if settings.recipe != "upstream":
                    num_padded = min(num_padded, round_up_to_16(longest))
            batches.append(clips.batch(group, num_padded))
        yield batches


def split_by_length(clips: ClipSet, indices: Indices, size: int) -> list[Indices]:
    """Groups of at most `size` indices of clips of similar length, so that little is padded."""
    by_length = indices[np.argsort(clips.num_frames[indices], kind="stable")]
    return [by_length[start : start + size] for start in range(0, len(by_length), size)]
