"""How often the interval of `evaluate --available` holds the whole set's recall, and how wide it is.

    python -m benchmarks.bench_available [--draws 1000]

A test set of clips of channels of very unequal sizes: clips of a channel are alike (they are each other's likeliest
rivals), and channels differ in how well they are retrieved. Of it 5, 20 and 50 % vanish, clip by clip or channel by
channel; what is left is all that the estimate sees.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.limits import tell
from model.available import Rivals, estimate_whole
from model.metrics import rank_embeddings

NUM_CLIPS, NUM_CHANNELS, DIM = 1000, 120, 48
SHARES_GONE = (0.05, 0.2, 0.5)
K = 10
NOISE = (1.0, 2.0, 3.0, 4.0, 1.5, 2.5, 3.5, 5.0)
"""One world each, from easy to hard; the first four were looked at while the interval was made, the others not."""


@dataclass(frozen=True)
class World:
    """A whole test set, ranked."""

    channels: np.ndarray
    """[N] number of each clip's channel."""
    beats: np.ndarray
    """[N, N] does candidate j beat the match of query i?"""
    recall: float
    """R@10 of the whole."""


def make_world(seed: int, noise: float = 1.0) -> World:
    """Clips around their channel's mean; the query is the clip with noise that each channel has its own amount of."""
    rng = np.random.default_rng(seed)
    weights = rng.pareto(1.2, NUM_CHANNELS) + 0.3
    channels = np.sort(rng.choice(NUM_CHANNELS, NUM_CLIPS, p=weights / weights.sum()))
    means = rng.normal(size=(NUM_CHANNELS, DIM))
    clips = means[channels] + rng.normal(size=(NUM_CLIPS, DIM))
    amount = noise * np.exp(0.5 * rng.normal(size=NUM_CHANNELS))[channels, None]
    heard = clips + 1.6 * amount * rng.normal(size=(NUM_CLIPS, DIM))
    query, gallery = (torch.tensor(x / np.linalg.norm(x, axis=1, keepdims=True)) for x in (heard, clips))
    scores = (query @ gallery.T).numpy()
    beats = scores > np.diag(scores)[:, None]
    return World(channels, beats, rank_embeddings(query, gallery).metrics()[f"R@{K}"])


def draw_left(world: World, share_gone: float, by_channel: bool, rng: np.random.Generator) -> np.ndarray:
    """[N] what is left: so many clips, or as many channels as come nearest to so many clips."""
    if not by_channel:
        return rng.permutation(NUM_CLIPS) >= round(share_gone * NUM_CLIPS)
    order = rng.permutation(NUM_CHANNELS)
    sizes = np.bincount(world.channels, minlength=NUM_CHANNELS)[order]
    num_gone = int(np.argmin(np.abs(np.cumsum(sizes) - share_gone * NUM_CLIPS))) + 1
    return ~np.isin(world.channels, order[:num_gone])


def see(world: World, left: np.ndarray) -> tuple[float, float, float, float]:
    """(on what is left, estimate, low, high) of R@10."""
    channels, beats = world.channels, world.beats[left]
    sizes_left = np.bincount(channels[left], minlength=NUM_CHANNELS)
    sizes_gone = np.bincount(channels[~left], minlength=NUM_CHANNELS)
    is_own = channels[left][:, None] == channels[None, :]
    own = (beats & is_own) @ left.astype(np.int64)
    all_ = beats @ left.astype(np.int64)
    left_own, gone_own = sizes_left[channels[left]] - 1, sizes_gone[channels[left]]
    num_left, num_gone = int(left.sum()), int((~left).sum())
    found = estimate_whole(
        Rivals(own, left_own, gone_own),
        Rivals(all_ - own, num_left - 1 - left_own, num_gone - gone_own),
        [str(c) for c in channels[left]],
        [str(c) for c in channels[~left]],
        recall_at=(K,),
    )[0]
    return found.on_left, found.estimate, found.low, found.high


def measure(share_gone: float, by_channel: bool, draws: int, worlds: list[World]) -> dict[str, float]:
    """Coverage over draws, spread evenly over worlds; mean width; mean error of the estimate and of what is left."""
    rng = np.random.default_rng(7)
    seen = []
    for i in range(draws):
        world = worlds[i % len(worlds)]
        on_left, estimate, low, high = see(world, draw_left(world, share_gone, by_channel, rng))
        seen.append((low <= world.recall <= high, high - low, estimate - world.recall, on_left - world.recall))
    covered, width, error, naive = np.mean(seen, axis=0)
    return {"covered": covered, "width": width, "error": error, "error of what is left": naive}


def main() -> None:
    """Print a line a setting, and each coverage beside its limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    worlds = [make_world(seed, noise) for seed, noise in enumerate(NOISE)]
    print("whole R@10:", ", ".join(f"{world.recall:.3f}" for world in worlds))
    for by_channel in (False, True):
        for share in SHARES_GONE:
            found = measure(share, by_channel, draws, worlds)
            how = "by channel" if by_channel else "at random"
            print(f"{share:4.0%} gone {how:10}", ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
            tell(f"the interval covers, {share:.0%} gone {how}", 100 * found["covered"], "% of draws", at_least=95)


if __name__ == "__main__":
    main()
