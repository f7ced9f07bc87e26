"""What is left of a test set says what the whole gave: counted, bounded, and covered as often as promised."""

import numpy as np
import pytest
import torch

from benchmarks.bench_available import draw_left, make_world, measure
from model.available import count_rivals, estimate_whole, paired_by_group
from model.metrics import rank_embeddings

RNG = np.random.default_rng(3)
NUM = 80
GROUPS = np.sort(RNG.integers(12, size=NUM)).astype(str)


def embed(num=NUM, dim=6, seed=1):
    rng = np.random.default_rng(seed)
    gallery = rng.normal(size=(num, dim))
    return (torch.tensor(x, dtype=torch.float32) for x in (gallery + 0.8 * rng.normal(size=(num, dim)), gallery))


def estimate(left, confidence=0.95):
    query, gallery = embed()
    groups = list(GROUPS[left])
    own, others = count_rivals(query[left], gallery[left], groups, list(GROUPS))
    return estimate_whole(own, others, groups, list(GROUPS[~left]), confidence)


def test_rivals_are_those_that_ranking_counts_each_on_its_side():
    query, gallery = embed()
    own, others = count_rivals(query, gallery, list(GROUPS), list(GROUPS))
    assert (own.better + others.better == rank_embeddings(query, gallery).better).all()
    scores = (query @ gallery.T).numpy()
    by_hand = [((scores[i] > scores[i, i]) & (GROUPS[i] == GROUPS)).sum() for i in range(NUM)]
    assert own.better.tolist() == by_hand
    assert (own.left + others.left == NUM - 1).all() and (own.gone + others.gone == 0).all()


class OnCard(torch.Tensor):
    """A tensor in a GPU's memory, as far as numpy is concerned."""

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_embeddings_may_lie_on_a_gpu_as_evaluation_leaves_them():
    sides, names = list(embed()), (list(GROUPS), list(GROUPS))
    on_card = count_rivals(*(side.as_subclass(OnCard) for side in sides), *names)
    expected = count_rivals(*sides, *names)
    assert [found.better.tolist() for found in on_card] == [found.better.tolist() for found in expected]


def test_candidates_tied_with_the_match_count_half():
    same = torch.ones(9, 4)
    own, others = count_rivals(same, same, ["a"] * 9, ["a"] * 9)
    assert own.better.tolist() == [4] * 9 and others.better.tolist() == [0] * 9


def test_with_nothing_gone_the_estimate_is_the_recall_without_an_interval():
    query, gallery = embed()
    truth = rank_embeddings(query, gallery).metrics()
    for found in estimate(np.ones(NUM, bool)):
        values = [found.on_left, found.lowest, found.highest, found.estimate, found.low, found.high]
        assert values == pytest.approx([truth[f"R@{found.k}"]] * 6)


@pytest.mark.parametrize("seed", range(6))
def test_the_bounds_hold_the_whole_whatever_is_lost_and_the_interval_lies_within(seed):
    query, gallery = embed()
    truth = rank_embeddings(query, gallery).metrics()
    left = np.random.default_rng(seed).random(NUM) > 0.1 * (seed + 1)
    for found in estimate(left):
        assert found.lowest <= truth[f"R@{found.k}"] <= found.highest
        assert found.lowest <= found.low <= found.estimate <= found.high <= found.highest


def test_a_group_cannot_have_more_left_than_it_had():
    query, gallery = embed(3)
    with pytest.raises(ValueError, match="more items left"):
        count_rivals(query, gallery, ["a", "a", "b"], ["a", "b", "b"])


@pytest.mark.parametrize("by_channel", [False, True])
def test_the_interval_covers_and_the_estimate_is_nearer_than_what_is_left(by_channel):
    worlds = [make_world(seed, 2.0) for seed in (21, 22)]
    found = measure(0.2, by_channel, 100, worlds)
    assert found["covered"] >= 0.93
    assert abs(found["error"]) < found["error of what is left"] / 2


def test_a_draw_loses_clips_or_whole_channels():
    world, rng = make_world(1), np.random.default_rng(1)
    at_random, by_channel = (draw_left(world, 0.2, by, rng) for by in (False, True))
    assert at_random.mean() == 0.8
    assert not set(world.channels[by_channel]) & set(world.channels[~by_channel])


def test_queries_of_a_group_that_are_alike_widen_the_interval_of_a_gain():
    rng = np.random.default_rng(5)
    gain = rng.choice([0.0, 1.0], 40)
    together, apart = np.repeat(gain, 10), [str(i) for i in range(400)]
    grouped = paired_by_group(np.zeros(400), together, list(np.repeat(np.arange(40).astype(str), 10)))
    single = paired_by_group(np.zeros(400), together, apart)
    assert grouped.mean == single.mean == gain.mean()
    assert grouped.high - grouped.low > 2.5 * (single.high - single.low)


def test_a_gain_needs_the_same_queries_twice_and_one_group_proves_nothing():
    with pytest.raises(ValueError, match="the same queries"):
        paired_by_group(np.zeros(3), np.zeros(4), ["a"] * 3)
    assert not paired_by_group(np.zeros(9), np.ones(9), ["a"] * 9).is_larger_than_noise
