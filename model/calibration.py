"""Scores to probabilities, and how far they can be believed."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
NUM_BINS = 10
"""Of a reliability curve, of equal width."""


@dataclass(frozen=True)
class Platt:
    """Probability of a score: the logistic function of a line."""

    slope: float
    offset: float

    def __call__(self, scores: Floats) -> Floats:
        """[N] scores -> [N] probabilities."""
        return np.asarray(expit(self.slope * scores + self.offset), np.float64)


def fit_platt(scores: Floats, is_true: Booleans) -> Platt:
    """The line under which these answers are likeliest; both kinds weigh the same, however many there are.

    Targets are drawn in by Platt's rule, so that scores that are told apart without a fault stay short of certainty.

    Args:
        scores: [N].
        is_true: [N], of both kinds.
    """
    num_true, num_false = int(is_true.sum()), int((~is_true).sum())
    if not num_true or not num_false:
        raise ValueError(f"calibration needs answers of both kinds, got {num_true} true and {num_false} false")
    spread = max(float(scores.std()), 1e-12)
    units = (scores - scores.mean()) / spread
    target = np.where(is_true, (num_true + 1) / (num_true + 2), 1 / (num_false + 2))
    weight = np.where(is_true, 0.5 / num_true, 0.5 / num_false)

    def loss(line: Floats) -> tuple[float, Floats]:
        logits = line[0] * units + line[1]
        error = weight * (expit(logits) - target)
        cost = weight * (np.logaddexp(0, logits) - target * logits)
        return float(cost.sum()), np.array([(error * units).sum(), error.sum()])

    slope, offset = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return Platt(float(slope / spread), float(offset - slope * scores.mean() / spread))


def area_under_curve(true_scores: Floats, false_scores: Floats) -> float:
    """Chance that a true one has the higher score; of equal ones half."""
    num_true, num_false = len(true_scores), len(false_scores)
    ranks = rankdata(np.concatenate([true_scores, false_scores]))
    return float((ranks[:num_true].sum() - num_true * (num_true + 1) / 2) / (num_true * num_false))


@dataclass(frozen=True)
class Bin:
    """One point of a reliability curve."""

    foretold: float
    """Mean probability."""
    found: float
    """Share that is true, both kinds weighing the same."""
    count: int

    def columns(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def reliability(probabilities: Floats, is_true: Booleans) -> list[Bin]:
    """The curve; bins with nothing in them are left out."""
    weight = np.where(is_true, 1 / max(1, is_true.sum()), 1 / max(1, (~is_true).sum()))
    place = np.minimum((probabilities * NUM_BINS).astype(int), NUM_BINS - 1)
    curve = []
    for number in np.unique(place):
        own = place == number
        share = float(weight[own & is_true].sum() / weight[own].sum())
        foretold = float(np.average(probabilities[own], weights=weight[own]))
        curve.append(Bin(foretold, share, int(own.sum())))
    return curve


def calibration_error(probabilities: Floats, is_true: Booleans) -> float:
    """Mean distance of the reliability curve from the diagonal, each bin by its weight of both kinds."""
    weight = np.where(is_true, 1 / max(1, is_true.sum()), 1 / max(1, (~is_true).sum())) / 2
    place = np.minimum((probabilities * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = np.bincount(place, weight * (is_true - probabilities), NUM_BINS)
    return float(np.abs(gaps).sum())
