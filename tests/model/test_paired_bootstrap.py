"""The difference between two models on the same queries, and whether it is larger than noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.metrics import bootstrap_recall, paired_difference
from model.ranks import Ranks

hits = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, n, elements=st.sampled_from([0.0, 0.25, 1.0]))] * 2)
)


def ranks(better: np.ndarray) -> Ranks:
    return Ranks(better, np.zeros_like(better))


@given(hits)
def test_the_interval_holds_the_difference_and_turns_round_with_the_models(pair):
    first, second = pair
    forth, back = paired_difference(first, second, 99), paired_difference(second, first, 99)
    assert forth.mean == pytest.approx(second.mean() - first.mean())
    assert forth.low - 1e-9 <= np.clip(forth.mean, forth.low, forth.high) <= forth.high + 1e-9
    assert (back.mean, back.low, back.high) == pytest.approx((-forth.mean, -forth.high, -forth.low))
    assert back.is_larger_than_noise == forth.is_larger_than_noise


def test_a_model_does_not_differ_from_itself():
    same = ranks(np.random.default_rng(0).integers(0, 30, 200))
    difference = paired_difference(same.hits(10), same.hits(10))
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert not difference.is_larger_than_noise


def test_the_interval_is_that_of_the_mean_of_the_gains():
    generator = np.random.default_rng(1)
    first, second = generator.random(4000) < 0.3, generator.random(4000) < 0.35
    difference = paired_difference(first, second, num_samples=4000)
    deviation = (second.astype(float) - first).std() / np.sqrt(4000)
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * deviation, rel=0.05)


def test_a_small_gain_on_the_same_queries_is_seen_where_the_models_own_intervals_overlap():
    better = np.random.default_rng(2).integers(0, 40, 400)
    improved = np.where((better >= 10) & (np.arange(400) % 12 == 0), 0, better)
    first, second = ranks(better), ranks(improved)
    gain = paired_difference(first.hits(10), second.hits(10))
    assert gain.mean == pytest.approx(second.metrics()["R@10"] - first.metrics()["R@10"]) and gain.is_larger_than_noise
    assert bootstrap_recall(first)["R@10"][1] > bootstrap_recall(second)["R@10"][0]


def test_equal_models_differ_by_more_than_noise_in_one_case_of_twenty():
    generator = np.random.default_rng(3)
    num_wrong = 0
    for seed in range(300):
        one, other = generator.random((2, 150)) < 0.4
        num_wrong += paired_difference(one, other, num_samples=300, seed=seed).is_larger_than_noise
    assert 3 <= num_wrong <= 30


def test_hits_of_other_queries_are_refused():
    with pytest.raises(ValueError, match=r"same queries twice, got shapes \(3,\) and \(4,\)"):
        paired_difference(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(np.zeros(0), np.zeros(0))
