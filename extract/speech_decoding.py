"""From scores to labels: the energy gate and the Viterbi decoder of the segmenter, on plain arrays.

The numbers (transition costs of 150 and 80, energy ratio 0.03) are inaSpeechSegmenter's own; every sum is made in the
same order and precision as there, so that ties fall the same way.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ENERGY_RATIO = 0.03
ENERGY_EXPONENT = 150
STAY_SILENT_SCORE = -5.0
UNSURE = 1e-10


def gate_energy(log_energy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell where a file has energy: smoothed frames above the mean of its finite log energies + log 0.03.

    The mean is the whole file's, so a piece of a file would be gated otherwise.

    Args:
        log_energy: [num_frames], one value each 10 ms; -inf for digital silence.

    Returns:
        bool [ceil(num_frames / 2)], one value each 20 ms.
    """
    finite = log_energy[np.isfinite(log_energy)]
    if len(finite) == 0:
        return np.zeros((len(log_energy) + 1) // 2, bool)
    loud = log_energy > np.mean(finite) + np.log(ENERGY_RATIO)
    scores = np.log(np.where(np.stack([~loud, loud], axis=1), 1 - UNSURE, UNSURE))
    return decode_states(scores, ENERGY_EXPONENT, (STAY_SILENT_SCORE, 0.0))[::2].astype(bool)


def decode_states(
    log_probabilities: NDArray[np.floating], exponent: float, stay_scores: tuple[float, ...] | None = None
) -> NDArray[np.int64]:
    """Find the best path through states where each change costs `exponent` decades of probability (Viterbi).

    Args:
        log_probabilities: [num_steps, num_states]
        exponent: a change of state costs exponent * ln 10.
        stay_scores: score of staying, for each state; 0 by default.

    Returns:
        int64 [num_steps]; among equal paths the one with the lowest state numbers, looking back from the end.
    """
    num_steps, num_states = log_probabilities.shape
    if num_steps == 0:
        return np.zeros(0, np.int64)
    change = -exponent * np.log(10.0)
    stay = stay_scores or (0.0,) * num_states
    moves = [[stay[to] if to == origin else float(change) for origin in range(num_states)] for to in range(num_states)]
    rows = (log_probabilities.astype(np.float64)).tolist()
    start = float(np.log(1.0 / num_states))
    values = [score + start for score in rows[0]]
    came_from: list[list[int]] = []
    for row in rows[1:]:
        origins, best = [], []
        for move, score in zip(moves, row, strict=True):
            reached = [value + step for value, step in zip(values, move, strict=True)]
            top = max(reached)
            origins.append(reached.index(top))
            best.append(score + top)
        came_from.append(origins)
        values = best
    return _trace_back(came_from, values.index(max(values)))


def _trace_back(came_from: list[list[int]], last_state: int) -> NDArray[np.int64]:
    states = [last_state]
    for origins in reversed(came_from):
        states.append(origins[states[-1]])
    return np.array(states[::-1], np.int64)


def find_runs(values: NDArray[np.generic]) -> list[tuple[int, int]]:
    """Split [n] into runs of equal values: half-open (start, stop) pairs that cover it."""
    if len(values) == 0:
        return []
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    bounds = [0, *edges.tolist(), len(values)]
    return list(pairwise(bounds))
