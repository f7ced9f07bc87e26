"""What a whole test set would have given, from the part of it that is still there.

Videos vanish, and with them queries and candidates: recall on what is left is that of an easier test. Here is what it
says of the whole: bounds that hold whatever was lost, and an estimate with an interval. The estimate asks of each query
that is left how many of the lost candidates would have beaten its match. The chance that one does follows a beta
distribution over queries, fitted to how often the candidates that are left do (empirical Bayes); candidates of the
query's own group (a channel) are counted apart, since they are the likelier rivals and vanish together. The interval is
for the whole as it was, not for videos in general, and takes queries of a group as alike: drawn group by group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import betaln, gammaln
from scipy.stats import t as student
from torch import Tensor

from model.metrics import Difference
from model.ranks import RECALL_AT

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
_QUERIES_PER_CHUNK = 1024
_LARGEST_LOG = 12.0


@dataclass(frozen=True)
class Rivals:
    """Candidates beside its match, for each query that is left; all arrays [num_left]."""

    better: Counts
    """Left, and better than the match; of tied ones half."""
    left: Counts
    gone: Counts


@dataclass(frozen=True)
class WholeRecall:
    """Recall at k, all as fractions."""

    k: int
    on_left: float
    """Among what is left: an easier test."""
    lowest: float
    highest: float
    """What the whole can have been at all: every lost query a miss and every lost candidate a rival, or neither."""
    estimate: float
    low: float
    high: float
    """Interval of the whole's recall."""


def count_rivals(query: Tensor, gallery: Tensor, groups: Sequence[str], whole: Sequence[str]) -> tuple[Rivals, Rivals]:
    """Rivals of each query among the candidates of its own group, and among all others.

    Args:
        query: embeddings [num_left, D] of the queries that are left.
        gallery: the same of their matches, pairs in the same row.
        groups: the group of each of them.
        whole: the group of every item of the whole set, left or gone.

    Raises:
        ValueError: a group has more items left than it ever had.
    """
    names, numbers = np.unique(np.array(groups, object).astype(str), return_inverse=True)
    own = np.empty(len(query), np.int64)
    all_ = np.empty(len(query), np.int64)
    for start in range(0, len(query), _QUERIES_PER_CHUNK):
        rows = slice(start, start + _QUERIES_PER_CHUNK)
        scores = (query[rows] @ gallery.T).cpu().numpy()
        match = np.take_along_axis(scores, np.arange(len(query))[rows][:, None], axis=1)
        rounding = 8 * float(torch.finfo(query.dtype).eps) * np.abs(match)
        doubled = 1 * (scores > match + rounding) + 1 * (scores >= match - rounding)  # 2: better, 1: tied
        doubled[np.arange(len(doubled)), np.arange(len(query))[rows]] = 0
        is_own = numbers[rows][:, None] == numbers[None, :]
        own[rows] = (doubled * is_own).sum(axis=1) + 1 >> 1
        all_[rows] = doubled.sum(axis=1) + 1 >> 1
    had = dict(zip(*np.unique(np.array(whole, object).astype(str), return_counts=True), strict=True))
    left_of = np.bincount(numbers)
    gone_of = np.array([int(had.get(name, 0)) for name in names]) - left_of
    if (gone_of < 0).any():
        raise ValueError(f"group {names[np.argmin(gone_of)]!r} has more items left than in the whole set")
    left, gone = left_of[numbers] - 1, gone_of[numbers]
    own = np.minimum(own, left)
    others_left, others_gone = len(query) - 1 - left, len(whole) - len(query) - gone
    return Rivals(own, left, gone), Rivals(np.minimum(all_ - own, others_left), others_left, others_gone)


def estimate_whole(
    own: Rivals,
    others: Rivals,
    groups: Sequence[str],
    gone_groups: Sequence[str],
    confidence: float = 0.95,
    recall_at: Sequence[int] = RECALL_AT,
) -> list[WholeRecall]:
    """Recall of the whole set at each k.

    Args:
        own: rivals of each left query within its group.
        others: rivals of the other groups.
        groups: the group of each query that is left.
        gone_groups: the group of each that is gone.
        confidence: of the interval.
        recall_at: the ks.
    """
    names = np.array([*groups, *gone_groups], object).astype(str)
    numbers = np.unique(names, return_inverse=True)[1]
    num_left, num_gone = len(groups), len(gone_groups)
    gone = np.bincount(numbers[num_left:], minlength=numbers.max() + 1)
    priors = fit_prior(own), fit_prior(others)
    found = []
    for k in recall_at:
        better = own.better + others.better
        chances = hit_chances(own, others, priors, k)
        lowest = float((better + own.gone + others.gone < k).sum()) / (num_left + num_gone)
        highest = float((better < k).sum() + num_gone) / (num_left + num_gone)
        ends = np.clip(_interval(chances, numbers[:num_left], gone, confidence), lowest, highest)
        on_left = float((better < k).mean())
        found.append(WholeRecall(k, on_left, lowest, highest, *(float(end) for end in ends)))
    return found


def _interval(chances: Shares, left: Counts, gone: Counts, confidence: float) -> tuple[float, float, float]:
    """(estimate, low, high) of the whole's recall.

    Args:
        chances: [num_left] that a left query is a hit in the whole.
        left: [num_left] number of its group.
        gone: [num_groups] lost queries of each group.
        confidence: of the interval.
    """
    num_left, num_gone, mean = len(chances), int(gone.sum()), float(chances.mean())
    sizes = np.bincount(left, minlength=len(gone)).astype(np.float64)
    is_known, num_groups = sizes > 0, int((sizes > 0).sum())
    means = np.full(len(gone), mean)
    means[is_known] = np.bincount(left, chances, minlength=len(gone))[is_known] / sizes[is_known]
    doubts = chances * (1 - chances)
    # Lost queries of a group that is left in part are like its others; those of a lost group like any group's.
    within = float(((chances - means[left]) ** 2).sum()) / max(num_left - num_groups, 1) + float(doubts.mean())
    of_known = within * float((gone**2 / np.where(is_known, sizes, np.inf) + gone * is_known).sum())
    lost = gone[~is_known].astype(np.float64)
    # Queries that share a lost rival err together: five times the variance of single ones covers (bench_available.py).
    tail = (1 + confidence) / 2
    spread = student.ppf(tail, max(num_left - num_groups, 2)) ** 2 * (of_known + 5 * float(doubts.sum()))
    if lost.size:
        # A group of misses and one of hits are added, as Agresti and Coull do: no bad group seen is not none there.
        added = (mean**2 + (1 - mean) ** 2) / max(num_groups, 1)
        between = ((means[is_known] - mean) ** 2).mean() - within * (1 / sizes[is_known]).mean()
        between = max(float(between), 0.0) + added
        moves = sizes * (means - mean) / np.maximum(num_left - sizes, 1)  # jackknife: of the mean, without a group
        of_mean = float((moves**2).sum()) + added / max(num_groups, 1)
        of_lost = of_mean * lost.sum() ** 2 + between * (lost**2).sum() + within * lost.sum()
        in_effect = min(num_left**2 / (sizes**2).sum(), lost.sum() ** 2 / (lost**2).sum())
        spread += student.ppf(tail, max(float(in_effect) - 1, 2)) ** 2 * of_lost
    num_whole = num_left + num_gone
    estimate = (float(chances.sum()) + float((gone * means).sum())) / num_whole
    half = float(np.sqrt(spread)) / num_whole
    return estimate, estimate - half, estimate + half


def fit_prior(rivals: Rivals) -> tuple[float, float]:
    """Beta distribution of the chance that a candidate beats a match, most likely for what is left of all queries."""
    asked = rivals.left > 0
    pairs, counts = np.unique(np.stack([rivals.better[asked], rivals.left[asked]]), axis=1, return_counts=True)
    if not counts.size:
        return 1.0, 1.0
    better, left = pairs.astype(np.float64)

    def cost(logs: Shares) -> float:
        a, b = np.exp(np.clip(logs, -_LARGEST_LOG, _LARGEST_LOG))
        return -float((counts * (betaln(better + a, left - better + b) - betaln(a, b))).sum())

    share = max(float((counts * better).sum() / (counts * left).sum()), 1e-4)
    start = np.log([0.5, 0.5 * (1 - share) / share + 1e-3])
    a, b = np.exp(np.clip(minimize(cost, start, method="Nelder-Mead").x, -_LARGEST_LOG, _LARGEST_LOG))
    return float(a), float(b)


def hit_chances(own: Rivals, others: Rivals, priors: tuple[tuple[float, float], tuple[float, float]], k: int) -> Shares:
    """[num_left] chance that fewer than `k` of the whole's candidates beat the match."""
    more_own, more_others = (_more(rivals, prior, k) for rivals, prior in zip((own, others), priors, strict=True))
    room = k - 1 - (own.better + others.better)
    within = np.cumsum(more_others, axis=1)  # at most so many
    chances = np.zeros(len(room))
    for num_own in range(k):
        rest = room - num_own
        chances += np.where(rest >= 0, more_own[:, num_own] * within[np.arange(len(rest)), np.maximum(rest, 0)], 0.0)
    return np.clip(chances, 0.0, 1.0)


def _more(rivals: Rivals, prior: tuple[float, float], k: int) -> Shares:
    """[num_left, k] chance that 0, 1, ... of the lost candidates beat the match: beta-binomial."""
    a, b = rivals.better + prior[0], rivals.left - rivals.better + prior[1]
    number, gone = np.arange(k)[None, :], rivals.gone[:, None].astype(np.float64)
    rest = np.maximum(gone - number, 0)
    ways = gammaln(gone + 1) - gammaln(number + 1) - gammaln(rest + 1)
    chance = np.exp(ways + betaln(number + a[:, None], rest + b[:, None]) - betaln(a, b)[:, None])
    return np.where(number <= gone, chance, 0.0)


def paired_by_group(first: Shares, second: Shares, groups: Sequence[str], confidence: float = 0.95) -> Difference:
    """How much better the second model is on the same queries and candidates, groups taken as drawn (jackknife).

    Args:
        first: [num_queries] hits in [0, 1] by one model.
        second: the same by the other.
        groups: the group of each query.
        confidence: of the interval.

    Raises:
        ValueError: the two are not of the same queries, or there are none.
    """
    if first.shape != second.shape or first.shape != (len(groups),) or not len(groups):
        raise ValueError(f"need the hits of the same queries twice, got shapes {first.shape} and {second.shape}")
    gains = second - first
    numbers = np.unique(np.array(groups, object).astype(str), return_inverse=True)[1]
    sizes = np.bincount(numbers).astype(np.float64)
    mean, num_groups = float(gains.mean()), len(sizes)
    if num_groups < 2:
        return Difference(mean, -1.0, 1.0)
    moves = np.bincount(numbers, gains - mean) / (len(gains) - sizes)
    in_effect = len(gains) ** 2 / float((sizes**2).sum())
    quantile = student.ppf((1 + confidence) / 2, max(in_effect - 1, 1))
    half = float(quantile * np.sqrt((num_groups - 1) / num_groups * (moves**2).sum()))
    return Difference(mean, mean - half, mean + half)
