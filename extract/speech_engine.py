"""The fast engine: features of a whole file to labels on a grid of 20 ms.

First a coarse pass: the CNN over large groups of patches. Then the labels that errors of that pass could have turned
(those whose path is hardly better than another) are computed again, finely, until none in doubt is left coarse.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from extract.speech_decoding import decode_states, find_runs, gate_energy, label_margins
from extract.speech_features import SpeechFeatures
from extract.speech_network import SpeechNetwork
from extract.speech_patches import Patches, measure_patches, patch_of_labels, score_patches

Segment = tuple[str, int, int]
"""(label, start_ms, end_ms), half-open; labels are speech, music, noise and no_energy."""

LABEL_MS = 20
LABELS = {"smn": ("speech", "music", "noise"), "sm": ("speech", "music")}
CHANGE_EXPONENTS = {"smn": 80, "sm": 150}
"""A change of label costs this many decades of probability: the library's own values."""

# Chosen on 69 minutes of mixed material (benchmarks/bench_speech.py).
COARSE_GROUP = 64
COARSE_EVERY = 2
FINE_GROUP = 4
DOUBT_NATS = 30.0
MAX_ROUNDS = 5


def segment_features(
    features: SpeechFeatures, network: SpeechNetwork, network_name: str, exact: bool, num_threads: int = 1
) -> list[Segment]:
    """Label the features of one whole file.

    Args:
        features: of the whole file; the energy gate looks at all of it.
        network: the CNN.
        network_name: "smn" or "sm".
        exact: run the CNN patch by patch, everywhere.
        num_threads: CPU threads of the CNN.

    Returns:
        Adjacent segments from 0; empty for audio under 25 ms.
    """
    has_energy = gate_energy(features.log_energy)
    if not has_energy.any():
        return [("no_energy", 0, len(has_energy) * LABEL_MS)] if len(has_energy) else []
    patches = measure_patches(features.log_mel)
    exponent = CHANGE_EXPONENTS[network_name]
    with _torch_threads(num_threads):
        if exact:
            scores = score_patches(patches, _wanted_patches(patches, has_energy), network, group_size=1)
        else:
            scores = _score_in_doubt_again(patches, has_energy, network, exponent)
    return _decode_labels(has_energy, _log_of_labels(scores, len(has_energy)), exponent, LABELS[network_name])


def _score_in_doubt_again(
    patches: Patches, has_energy: NDArray[np.bool_], network: SpeechNetwork, exponent: float
) -> NDArray[np.float32]:
    """Probabilities [num_patches, num_classes]: coarse where labels are sure, fine elsewhere."""
    is_coarse = _wanted_patches(patches, has_energy)
    scores = score_patches(patches, is_coarse, network, COARSE_GROUP, COARSE_EVERY)
    for _ in range(MAX_ROUNDS):
        in_doubt = is_coarse & _patches_in_doubt(scores, has_energy, exponent)
        if not in_doubt.any():
            break
        scores[in_doubt] = score_patches(patches, in_doubt, network, FINE_GROUP)[in_doubt]
        is_coarse &= ~in_doubt
    return scores


def _patches_in_doubt(scores: NDArray[np.float32], has_energy: NDArray[np.bool_], exponent: float) -> NDArray[np.bool_]:
    """Patches of labels that would fall otherwise if the scores of their stretch were off by DOUBT_NATS in all."""
    log_probabilities = _log_of_labels(scores, len(has_energy))
    in_doubt = np.zeros(len(scores), bool)
    patch_of_label = patch_of_labels(len(has_energy), len(scores))
    for start, stop in _energy_runs(has_energy):
        unsure = label_margins(log_probabilities[start:stop], exponent) < DOUBT_NATS
        in_doubt[patch_of_label[start:stop][unsure]] = True
    return in_doubt


def _wanted_patches(patches: Patches, has_energy: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wanted = np.zeros(len(patches.means), bool)
    wanted[patch_of_labels(len(has_energy), len(wanted))[has_energy]] = True
    return wanted


def _log_of_labels(scores: NDArray[np.float32], num_labels: int) -> NDArray[np.float32]:
    """[num_labels, num_classes]; meaningless where there is no energy."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(scores)[patch_of_labels(num_labels, len(scores))])


def _decode_labels(
    has_energy: NDArray[np.bool_], log_probabilities: NDArray[np.float32], exponent: float, labels: tuple[str, ...]
) -> list[Segment]:
    """Silence as it is; each stretch with energy decoded on its own."""
    stretches = [(start, stop, "no_energy") for start, stop in find_runs(has_energy) if not has_energy[start]]
    for start, stop in _energy_runs(has_energy):
        states = decode_states(log_probabilities[start:stop], exponent)
        stretches += [(start + first, start + last, labels[states[first]]) for first, last in find_runs(states)]
    return [(label, start * LABEL_MS, stop * LABEL_MS) for start, stop, label in sorted(stretches)]


def _energy_runs(has_energy: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return [(start, stop) for start, stop in find_runs(has_energy) if has_energy[start]]


@contextmanager
def _torch_threads(num_threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
