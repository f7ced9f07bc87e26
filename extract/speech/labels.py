"""From scores to labels: the energy gate and the Viterbi decoder of the segmenter, on plain arrays.

The numbers (transition costs of 150 and 80, energy ratio 0.03) are inaSpeechSegmenter's own; every sum is made in the
same order and precision as there, so that ties fall the same way (the gate has exact ties).
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

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
    scores = np.log([[1 - UNSURE, UNSURE], [UNSURE, 1 - UNSURE]])[loud.astype(np.int8)]
    return decode_states(scores, ENERGY_EXPONENT, (STAY_SILENT_SCORE, 0.0))[::2].astype(bool)


def decode_states(
    log_probabilities: NDArray[np.floating], exponent: float, stay_scores: tuple[float, ...] | None = None
) -> NDArray[np.int8]:
    """Find the best path through states where each change costs `exponent` decades of probability (Viterbi).

    Args:
        log_probabilities: [num_steps, num_states]
        exponent: a change of state costs exponent * ln 10.
        stay_scores: score of staying, for each state; 0 by default.

    Returns:
        int8 [num_steps]; among equal paths the one with the lowest state numbers, looking back from the end.
    """
    if len(log_probabilities) == 0:
        return np.zeros(0, np.int8)
    best_path, _ = _compiled()
    moves = _move_scores(log_probabilities.shape[1], exponent, stay_scores)
    return np.asarray(best_path(log_probabilities, moves))


def label_margins(
    log_probabilities: NDArray[np.floating], exponent: float, error_per_step: float = 0.0
) -> NDArray[np.float64]:
    """How much the best path loses, in nats, when a step takes another label than the path's.

    Args:
        log_probabilities: [num_steps, num_states], at least one step.
        exponent: as in `decode_states`.
        error_per_step: what another path gains at each step where it differs from the best one, in nats.

    Returns:
        float64 [num_steps]; small near a change of label, and all over a stretch whose label is in doubt.
    """
    best_path, path_margins = _compiled()
    moves = _move_scores(log_probabilities.shape[1], exponent, None)
    return np.asarray(path_margins(log_probabilities, moves, best_path(log_probabilities, moves), error_per_step))


def _move_scores(num_states: int, exponent: float, stay_scores: tuple[float, ...] | None) -> NDArray[np.float64]:
    """[from, to]"""
    moves = np.full((num_states, num_states), -exponent * np.log(10.0))
    np.fill_diagonal(moves, stay_scores or 0.0)
    return moves


def _best_path(scores: NDArray[np.floating], moves: NDArray[np.float64]) -> NDArray[np.int8]:
    num_steps, num_states = scores.shape
    values, following = np.empty(num_states), np.empty(num_states)
    for state in range(num_states):
        values[state] = scores[0, state] + np.log(1.0 / num_states)
    came_from = np.zeros((num_steps, num_states), np.int8)
    for step in range(1, num_steps):
        for state in range(num_states):
            best, origin = values[0] + moves[0, state], 0
            for other in range(1, num_states):
                reached = values[other] + moves[other, state]
                if reached > best:
                    best, origin = reached, other
            came_from[step, state] = origin
            following[state] = scores[step, state] + best
        values, following = following, values
    path = np.empty(num_steps, np.int8)
    path[-1] = np.argmax(values)
    for step in range(num_steps - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def _path_margins(
    scores: NDArray[np.floating], moves: NDArray[np.float64], path: NDArray[np.int8], error_per_step: float
) -> NDArray[np.float64]:
    """[num_steps]: score of `path`, less that of the best path through another state at a step.

    A state off `path` is favoured by `error_per_step`. The best way up to each state is kept for all steps, the best
    way on from it for one.
    """
    num_steps, num_states = scores.shape
    before, margins = np.empty((num_steps, num_states)), np.empty(num_steps)
    after, own = np.zeros(num_states), np.empty(num_states)
    best = float(scores[0, path[0]])
    for state in range(num_states):
        before[0, state] = scores[0, state] + (error_per_step if state != path[0] else 0.0)
    for step in range(1, num_steps):
        best += moves[path[step - 1], path[step]] + scores[step, path[step]]
        for state in range(num_states):
            reached = -np.inf
            for other in range(num_states):
                reached = max(reached, before[step - 1, other] + moves[other, state])
            before[step, state] = reached + scores[step, state] + (error_per_step if state != path[step] else 0.0)
    for step in range(num_steps - 1, -1, -1):
        through = -np.inf
        for state in range(num_states):
            if state != path[step]:
                through = max(through, before[step, state] + after[state])
        margins[step] = best - through
        for state in range(num_states):
            own[state] = after[state] + scores[step, state] + (error_per_step if state != path[step] else 0.0)
        for state in range(num_states):
            after[state] = -np.inf
            for other in range(num_states):
                after[state] = max(after[state], own[other] + moves[state, other])
    return margins


@cache
def _compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two loops as machine code, which leaves other threads running; kept on disk where that may be written."""
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(_best_path), numba.njit(nogil=True, cache=True)(_path_margins)
    except RuntimeError:  # numba found no folder for its cache
        return numba.njit(nogil=True)(_best_path), numba.njit(nogil=True)(_path_margins)


def find_runs(values: NDArray[np.generic]) -> list[tuple[int, int]]:
    """Split [n] into runs of equal values: half-open (start, stop) pairs that cover it."""
    if len(values) == 0:
        return []
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    return list(pairwise([0, *edges.tolist(), len(values)]))


def find_true_runs(values: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of [n] that are True."""
    return [(start, stop) for start, stop in find_runs(values) if values[start]]
