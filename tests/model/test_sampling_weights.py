"""Clips with weights are drawn so much less often; without them the order is what it was."""

import numpy as np
import pytest

from model.sampling import draw_order

WEIGHTS = np.array([1.0] * 10 + [0.2] * 20 + [0.5] * 10)


def test_without_weights_an_epoch_is_the_permutation_it_was():
    expected = np.random.default_rng([3, 1]).permutation(12)
    assert draw_order(12, None, [3, 1]).tolist() == expected.tolist()


def test_weights_of_one_are_the_same_as_none():
    assert draw_order(12, np.ones(12), [3, 1]).tolist() == draw_order(12, None, [3, 1]).tolist()


def test_each_clip_is_drawn_in_the_share_of_epochs_that_its_weight_says():
    epochs = [draw_order(len(WEIGHTS), WEIGHTS, [1, epoch]) for epoch in range(3000)]
    assert all(len(np.unique(epoch)) == len(epoch) for epoch in epochs)
    assert {len(epoch) for epoch in epochs} <= {19, 20}
    shares = np.bincount(np.concatenate(epochs), minlength=len(WEIGHTS)) / len(epochs)
    assert shares == pytest.approx(WEIGHTS, abs=0.04)
