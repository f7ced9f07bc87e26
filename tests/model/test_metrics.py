"""Metrics that ties cannot flatter, and the original's."""

import itertools
import json

import golden_avlnet as golden
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.metrics import (
    bootstrap_recall,
    metrics_from_embeddings,
    rank_scores,
    retrieval_metrics,
    upstream_metrics,
)
from model.ranks import Ranks

EXPECTED = json.loads((golden.FOLDER / "e_metrics_expected.json").read_text())
SCORES = golden.load("e_metrics.npz")
few_values = arrays(np.float32, st.integers(1, 5).map(lambda n: (n, n)), elements=st.sampled_from([0.0, 1.0, 2.0]))


def brute_force_recall(scores: np.ndarray, k: int) -> float:
    """Mean over every order of the candidates of a stable sort's recall."""
    n = len(scores)
    orders = list(itertools.permutations(range(n)))
    hits = [i in sorted(order, key=lambda c: -scores[i, c])[:k] for order in orders for i in range(n)]
    return float(np.mean(hits))


@given(few_values, st.sampled_from([1, 5]))
def test_recall_is_the_mean_over_every_order_of_the_tied(scores, k):
    assert retrieval_metrics(scores)[f"R@{k}"] == pytest.approx(brute_force_recall(scores, k))


@pytest.mark.parametrize("n", [1, 20, 50])
def test_constant_scores_give_exactly_chance(n):
    metrics = retrieval_metrics(np.zeros((n, n), np.float32))
    assert metrics == pytest.approx(
        {"R@1": 1 / n, "R@5": min(1, 5 / n), "R@10": min(1, 10 / n), "MedR": (n + 1) / 2}, rel=1e-12
    )


def test_one_tie_by_hand():
    scores = np.array([[3, 3, 1], [0, 2, 5], [1, 1, 1]], np.float32)
    ranks = rank_scores(scores)
    assert ranks.better.tolist() == [0, 1, 0]
    assert ranks.tied.tolist() == [1, 0, 2]
    assert retrieval_metrics(scores)["R@1"] == pytest.approx((1 / 2 + 0 + 1 / 3) / 3)
    assert retrieval_metrics(scores)["MedR"] == 2.0


def test_nan_is_refused():
    scores = np.eye(3, dtype=np.float32)
    scores[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN in 1 of 9"):
        retrieval_metrics(scores)
    with pytest.raises(ValueError, match="NaN"):
        metrics_from_embeddings(scores, np.ones((3, 3), np.float32))


def test_fewer_candidates_than_queries_are_refused():
    with pytest.raises(ValueError, match=r"\[3, 2\]"):
        retrieval_metrics(np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_embeddings_in_chunks_give_the_metrics_of_their_scores(chunk):
    generator = torch.Generator().manual_seed(0)
    query = torch.randint(-3, 4, (64, 8), generator=generator).float()
    gallery = torch.cat([query + torch.randint(-1, 2, (64, 8), generator=generator), torch.ones(9, 8)])
    assert metrics_from_embeddings(query, gallery, chunk=chunk) == retrieval_metrics(query @ gallery.T)


def test_a_collapsed_model_gets_chance_from_its_embeddings():
    constant = np.tile(np.random.default_rng(0).standard_normal(300, np.float32), (70, 1))
    query = np.random.default_rng(1).standard_normal((70, 300), np.float32)
    assert metrics_from_embeddings(query, constant, chunk=16)["R@1"] == pytest.approx(1 / 70)


@pytest.mark.parametrize("case", sorted(EXPECTED))
def test_upstream_metrics_reproduce_the_originals(case):
    name, direction, dataset = case.split("/")
    scores = SCORES[f"S_{name}"]
    scores = scores.T if direction == "lang1" else scores
    actual = upstream_metrics(scores, num_total=1000 if dataset == "msrvtt" else None)
    assert [actual[key] for key in ("R@1", "R@5", "R@10", "MedR")] == [
        EXPECTED[case][k] for k in ("R1", "R5", "R10", "MR")
    ]


def test_upstream_metrics_drop_a_nan_row_and_keep_the_denominator():
    scores = np.eye(4, dtype=np.float32)
    scores[2] = np.nan
    assert upstream_metrics(scores)["R@1"] == 0.75


def test_without_ties_both_metrics_agree():
    scores = SCORES["S_good200"]
    assert retrieval_metrics(scores) == pytest.approx(upstream_metrics(scores))


def test_bootstrap_interval_holds_the_recall_and_is_seeded():
    ranks = Ranks(np.arange(100) % 12, np.zeros(100, np.int64))
    interval = bootstrap_recall(ranks, num_samples=200, seed=3)
    assert interval == bootstrap_recall(ranks, num_samples=200, seed=3)
    for name, (low, high) in interval.items():
        assert low <= ranks.metrics()[name] <= high
        assert high - low < 0.25
