"""Retrieval metrics that ties cannot flatter.

A match tied with others counts as the chance that a random order of the tied puts it among the first k, so constant
scores give exactly chance. `upstream_metrics` reproduces the original's figures, ties counted several times and all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.devices import device_errors
from model.ranks import RECALL_AT, Ranks

QUERIES_PER_CHUNK = 1024
WITHOUT_ROOM = "set evaluate.device, in training train.device, to cpu"
_DRAWS_AT_ONCE = 64
Array = npt.NDArray[np.float32] | Tensor


def retrieval_metrics(scores: Array) -> dict[str, float]:
    """Recall at 1, 5 and 10 and the median rank.

    Args:
        scores: [num_queries, num_candidates]; the match of query i is candidate i.

    Returns:
        {"R@1", "R@5", "R@10"} as fractions and {"MedR"}, 1 the best.

    Raises:
        ValueError: scores with NaN, without queries, or with fewer candidates than queries.
    """
    return rank_scores(scores).metrics()


def rank_scores(scores: Array) -> Ranks:
    """Rank the match of each query, which is candidate i for query i: scores [num_queries, num_candidates]."""
    scores = torch.as_tensor(scores)
    if scores.ndim != 2 or not 0 < scores.shape[0] <= scores.shape[1]:
        raise ValueError(f"scores must be [num_queries, at least as many candidates], got {list(scores.shape)}")
    _refuse_nan(scores)
    return _rank_rows(scores, torch.arange(len(scores)))


def metrics_from_embeddings(query: Array, gallery: Array, chunk: int = QUERIES_PER_CHUNK) -> dict[str, float]:
    """`retrieval_metrics(query @ gallery.T)` without the score matrix in memory.

    Args:
        query: [num_queries, D].
        gallery: [num_candidates, D]; the match of query i is row i.
        chunk: queries scored at once; memory is chunk x num_candidates x 6 bytes.
    """
    return rank_embeddings(query, gallery, chunk=chunk).metrics()


def rank_embeddings(
    query: Array, gallery: Array, matches: npt.NDArray[np.int64] | None = None, chunk: int = QUERIES_PER_CHUNK
) -> Ranks:
    """`rank_scores(query @ gallery.T)` without the score matrix in memory; `matches` are other candidates than i.

    Scores that differ by no more than rounding count as tied: a matrix product gives equal candidates scores that
    differ in their last bits, by where in the matrix they stand, and a collapsed model would not get exactly chance.
    """
    query, gallery = torch.as_tensor(query), torch.as_tensor(gallery)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise ValueError(f"query and gallery must be [N, D], got {list(query.shape)} and {list(gallery.shape)}")
    if not 0 < len(query) <= len(gallery):
        raise ValueError(f"need at least one query and a gallery as large, got {len(query)} and {len(gallery)}")
    columns = torch.arange(len(query)) if matches is None else torch.as_tensor(matches)
    parts = []
    with device_errors(str(query.device), WITHOUT_ROOM):
        for start in range(0, len(query), chunk):
            scores = query[start : start + chunk] @ gallery.T
            _refuse_nan(scores)
            own = columns[start : start + chunk]
            # Two computations of one dot product lie no further apart than 8 units of the product of the norms.
            norms = query[start : start + chunk].norm(dim=1, keepdim=True) * gallery[own].norm(dim=1, keepdim=True)
            parts.append(_rank_rows(scores, own, 8 * torch.finfo(query.dtype).eps * norms))
    return Ranks(np.concatenate([part.better for part in parts]), np.concatenate([part.tied for part in parts]))


def best_candidates(query: Array, gallery: Array, num_best: int = 5) -> npt.NDArray[np.int64]:
    """Indices [num_queries, num_best] of the candidates with the highest scores, best first."""
    query, gallery = torch.as_tensor(query), torch.as_tensor(gallery)
    num_best = min(num_best, len(gallery))
    with device_errors(str(query.device), WITHOUT_ROOM):
        parts = [torch.topk(some @ gallery.T, num_best).indices for some in torch.split(query, QUERIES_PER_CHUNK)]
        best: npt.NDArray[np.int64] = torch.cat(parts).cpu().numpy()
    return best


@torch.no_grad()
def _rank_rows(scores: Tensor, columns: Tensor, rounding: Tensor | float = 0.0) -> Ranks:
    scores = scores.contiguous()
    match = scores.gather(1, columns.to(scores.device)[:, None])
    better = _count_in_rows(scores > match + rounding)
    return Ranks(better, _count_in_rows(scores >= match - rounding) - better - 1)


def _count_in_rows(flags: Tensor) -> npt.NDArray[np.int64]:
    if flags.device.type == "cpu":  # numpy counts rows of booleans ten times as fast as torch adds them up
        counts: npt.NDArray[np.int64] = np.count_nonzero(flags.numpy(), axis=1)
    else:
        counts = flags.sum(dim=1).cpu().numpy()
    return counts


def _refuse_nan(scores: Tensor) -> None:
    if not torch.isnan(scores.amin()):  # the smallest of values with NaN is NaN
        return
    num_nan = int(torch.isnan(scores).sum())
    raise ValueError(f"scores hold NaN in {num_nan} of {scores.numel()} places: the model or its input is broken")


def upstream_metrics(scores: Array, num_total: int | None = None) -> dict[str, float]:
    """The original's figures: every position tied with the match is a hit, so recalls may exceed 1.

    Args:
        scores: [N, N], the pairs on the diagonal. A row whose match is NaN or infinite has no hit, as there.
        num_total: what recalls are divided by; N when not given (the original divides MSR-VTT by 1,000).
    """
    scores = torch.as_tensor(scores)
    ranks = _rank_rows(scores, torch.arange(len(scores)))
    is_counted = torch.isfinite(scores.diagonal()).cpu().numpy()
    better, num_equal = ranks.better[is_counted], ranks.tied[is_counted] + 1
    hits = {k: int(np.clip(k - better, 0, num_equal).sum()) for k in RECALL_AT}
    starts = np.repeat(np.cumsum(num_equal) - num_equal, num_equal)
    positions = np.repeat(better, num_equal) + np.arange(num_equal.sum()) - starts
    recalls = {f"R@{k}": hits[k] / (num_total or len(scores)) for k in RECALL_AT}
    return {**recalls, "MedR": float(np.median(positions)) + 1 if len(positions) else float("nan")}


def chance_metrics(num_queries: int, num_candidates: int) -> dict[str, float]:
    """What scores without information give."""
    constant = np.full(num_queries, num_candidates - 1)
    return Ranks(np.zeros_like(constant), constant).metrics()


def bootstrap_recall(
    ranks: Ranks, num_samples: int = 1000, confidence: float = 0.95, seed: int = 1
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over queries, the candidates fixed.

    Returns:
        {"R@k": (low, high)} as fractions.
    """
    hits = np.stack([ranks.hits(k) for k in RECALL_AT], axis=1)
    low, high = _interval_of_mean(hits, num_samples, confidence, seed)
    return {f"R@{k}": (float(low[i]), float(high[i])) for i, k in enumerate(RECALL_AT)}


def _interval_of_mean(
    values: npt.NDArray[np.float64], num_samples: int, confidence: float, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(low, high) of the mean over queries, the first axis, by scipy's percentile bootstrap."""
    from scipy.stats import bootstrap  # half a second, which training and search need not wait

    if len(values) < 2:  # of which scipy draws nothing
        return values.mean(axis=0), values.mean(axis=0)
    interval = bootstrap(
        (values,), np.mean, axis=0, vectorized=True, n_resamples=num_samples, batch=_DRAWS_AT_ONCE,
        confidence_level=confidence, method="percentile", rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return np.asarray(interval.low), np.asarray(interval.high)


def bootstrap_seeds(
    runs: Sequence[Ranks], num_samples: int = 1000, confidence: float = 0.95, seed: int = 1
) -> dict[str, tuple[float, float]]:
    """`bootstrap_recall` of the mean over trainings, which are drawn as well as the queries.

    By hand, since scipy draws along one axis alone.

    Args:
        runs: ranks of the same queries by each training.
        num_samples: draws.
        confidence: of the interval.
        seed: of the draws.
    """
    hits = np.array([[run.hits(k) for k in RECALL_AT] for run in runs])  # [num_runs, len(RECALL_AT), num_queries]
    means = _draw_runs_and_queries(hits, num_samples, seed, len(runs))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return {f"R@{k}": (float(low[i]), float(high[i])) for i, k in enumerate(RECALL_AT)}


def _draw_runs_and_queries(
    values: npt.NDArray[np.float64], num_samples: int, seed: int, num_runs: int
) -> npt.NDArray[np.float64]:
    """[num_samples, C] means of values [runs, C, queries] over `num_runs` drawn runs and all queries drawn anew."""
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(num_samples):
        drawn = values[generator.integers(len(values), size=num_runs)].mean(axis=0)
        means.append(drawn[:, generator.integers(values.shape[2], size=values.shape[2])].mean(axis=1))
    return np.array(means)


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same queries."""

    mean: float
    """Second minus first, a fraction."""
    low: float
    high: float
    """Ends of the bootstrap interval."""

    @property
    def is_larger_than_noise(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_difference(
    first: npt.NDArray[Any], second: npt.NDArray[Any], num_samples: int = 1000, confidence: float = 0.95, seed: int = 1
) -> Difference:
    """Percentile bootstrap of the mean of `second - first` over queries, which are drawn for both at once.

    Drawing pairs leaves out what both share: that some queries are hard. Two models with overlapping intervals of
    their own may well differ. What it does not hold is the luck of one training: for that, train several seeds.

    Args:
        first: [num_queries] hits in [0, 1] by one model; where it has several seeds, their mean.
        second: the same by the other.
        num_samples: draws of the queries.
        confidence: of the interval.
        seed: of the draws.

    Raises:
        ValueError: the two are not of the same queries, or there are none.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"need the hits of the same queries twice, got shapes {first.shape} and {second.shape}")
    gains = second - first
    low, high = _interval_of_mean(gains, num_samples, confidence, seed)
    return Difference(float(gains.mean()), float(low), float(high))


def paired_difference_of_seeds(
    first: npt.NDArray[Any], second: npt.NDArray[Any], num_samples: int = 1000, confidence: float = 0.95, seed: int = 1
) -> Difference:
    """`paired_difference` where seeds are drawn, too: each is a training of both models from one draw of chance.

    One seed fewer than there are is drawn: of few seeds the spread would else come out too small, of three by a third
    (McCarthy and Snowden 1985).

    Args:
        first: [num_seeds, num_queries] hits in [0, 1] by one model.
        second: the same by the other, seeds and queries in the same order.
        num_samples: draws.
        confidence: of the interval.
        seed: of the draws.

    Raises:
        ValueError: the two are not of the same seeds and queries, or there are none.
    """
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ValueError(f"need hits of the same seeds and queries, got shapes {first.shape} and {second.shape}")
    gains = np.asarray(second, np.float64) - first
    means = _draw_runs_and_queries(gains[:, None], num_samples, seed, max(1, len(gains) - 1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Difference(float(gains.mean()), float(low), float(high))
