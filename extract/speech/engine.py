"""The fast engine: features of a whole file to labels on a grid of 20 ms.

First a coarse pass: the CNN over large groups of patches, every second one. Its scores are off in one direction for
seconds on end, which adds up. So the labels that such an error could have turned (those whose path
is hardly better than another) are scored again in small groups, and what is still in doubt then, patch by patch.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.speech.front_end import SpeechFeatures
from extract.speech.labels import decode_states, find_runs, find_true_runs, gate_energy, label_margins
from extract.speech.network import SpeechNetwork
from extract.speech.patches import Patches, measure_patches, patch_of_labels, score_patches

Segment = tuple[str, int, int]
"""(label, start_ms, end_ms), half-open; labels are speech, music, noise and no_energy."""

LABEL_MS = 20
LABELS = {"smn": ("speech", "music", "noise"), "sm": ("speech", "music")}
CHANGE_EXPONENTS = {"smn": 80, "sm": 150}
"""A change of label costs this many decades of probability: the library's own values."""


@dataclass(frozen=True)
class Pass:
    """One run of the CNN over what the runs before leave in doubt."""

    doubt_nats: float
    """A label is in doubt when another path through it scores less than this below the best one."""
    error_per_label: float
    """What that other path is given for each label where it differs: the scores' error in one direction, in nats."""
    group_size: int
    every: int = 1
    rough: bool = True
    """In bfloat16 where the hardware has it: off by up to 0.05 nats a label over 1 s, less than groups are."""


PASSES = {
    "smn": (Pass(np.inf, 0.0, 48, 2), Pass(200.0, 0.2, 8), Pass(8.0, 0.05, 1), Pass(2.0, 0.02, 1, rough=False)),
    "sm": (Pass(np.inf, 0.0, 48, 2), Pass(380.0, 0.4, 8), Pass(8.0, 0.1, 1), Pass(2.0, 0.02, 1, rough=False)),
}
"""Chosen on 69 minutes of mixes of speech over music and noise; benchmarks/bench_speech.py, other mixes of the same
recordings, checks the choice. Scores of groups of 64 were off in one direction by up to 0.4 nats a label over 4 s,
groups of 16 and 8 by up to 0.07 and 0.045; network sm is off by more. Where one sound ends and another begins at once,
large groups are off by a hundred nats in all: hence a first doubt about as large as the cost of a change."""
EXACT_PASSES = (Pass(np.inf, 0.0, 1, rough=False),)
MAX_ROUNDS = 4
"""New scores can bring new doubt; after so many rounds of one pass the rest stays as it is."""


def segment_features(
    files: Sequence[SpeechFeatures], network: SpeechNetwork, network_name: str, exact: bool, num_threads: int = 1
) -> list[list[Segment]]:
    """Label the features of whole files.

    Args:
        files: each of one whole file; the energy gate looks at all of it. Together they fill the batches of a GPU.
        network: the CNN.
        network_name: "smn" or "sm".
        exact: run the CNN patch by patch, everywhere.
        num_threads: CPU threads of the CNN.

    Returns:
        For each file adjacent segments from 0; none for audio under 25 ms.
    """
    gates = [gate_energy(features.log_energy) for features in files]
    sounding = [_Sound(measure_patches(file), gate) for file, gate in zip(files, gates, strict=True) if gate.any()]
    exponent = CHANGE_EXPONENTS[network_name]
    with _torch_threads(num_threads):
        scores = iter(_score_in_passes(sounding, network, exponent, EXACT_PASSES if exact else PASSES[network_name]))
    return [
        _decode_labels(gate, next(scores), exponent, LABELS[network_name])
        if gate.any()
        else [("no_energy", 0, len(gate) * LABEL_MS)][: len(gate)]
        for gate in gates
    ]


@dataclass(frozen=True)
class _Sound:
    """A file that has energy somewhere."""

    patches: Patches
    has_energy: NDArray[np.bool_]
    """[num_labels]"""


def _score_in_passes(
    sounds: list[_Sound], network: SpeechNetwork, exponent: float, passes: tuple[Pass, ...]
) -> list[NDArray[np.float32]]:
    """For each file log probabilities [num_patches, num_classes]: coarse where labels are sure, finer elsewhere."""
    wanted = [np.zeros(len(sound.patches.means), bool) for sound in sounds]
    for sound, chosen in zip(sounds, wanted, strict=True):
        chosen[patch_of_labels(len(sound.has_energy), len(chosen))[sound.has_energy]] = True
    scores = [_log(found) for found in _score(sounds, wanted, network, passes[0])]
    for step in passes[1:]:
        coarser = [chosen & sound.patches.is_finite for sound, chosen in zip(sounds, wanted, strict=True)]
        for _ in range(MAX_ROUNDS):
            in_doubt = [
                chosen & _patches_in_doubt(sound, score, exponent, step)
                for sound, score, chosen in zip(sounds, scores, coarser, strict=True)
            ]
            if not any(doubt.any() for doubt in in_doubt):
                break
            finer = _score(sounds, in_doubt, network, step)
            for score, chosen, doubt, found in zip(scores, coarser, in_doubt, finer, strict=True):
                score[doubt] = _log(found[doubt])
                chosen &= ~doubt
    return scores


def _score(
    sounds: list[_Sound], wanted: list[NDArray[np.bool_]], network: SpeechNetwork, step: Pass
) -> list[NDArray[np.float32]]:
    patches = [sound.patches for sound in sounds]
    return score_patches(patches, wanted, network, step.group_size, step.every, step.rough)


def _patches_in_doubt(sound: _Sound, scores: NDArray[np.float32], exponent: float, step: Pass) -> NDArray[np.bool_]:
    """Patches of labels that could fall otherwise if the scores were off by as much as `step` allows for."""
    in_doubt = np.zeros(len(scores), bool)
    patch_of_label = patch_of_labels(len(sound.has_energy), len(scores))
    for start, stop in find_true_runs(sound.has_energy):
        patch = patch_of_label[start:stop]
        unsure = label_margins(scores[patch], exponent, step.error_per_label) < step.doubt_nats
        in_doubt[patch[unsure]] = True
    return in_doubt


def _log(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logarithm, in the same memory."""
    with np.errstate(divide="ignore"):
        return np.log(probabilities, out=probabilities)


def _decode_labels(
    has_energy: NDArray[np.bool_], scores: NDArray[np.float32], exponent: float, labels: tuple[str, ...]
) -> list[Segment]:
    """Silence as it is; each stretch with energy decoded on its own."""
    patch_of_label = patch_of_labels(len(has_energy), len(scores))
    stretches = [(start, stop, "no_energy") for start, stop in find_true_runs(~has_energy)]
    for start, stop in find_true_runs(has_energy):
        states = decode_states(scores[patch_of_label[start:stop]], exponent)
        stretches += [(start + first, start + last, labels[states[first]]) for first, last in find_runs(states)]
    return [(label, start * LABEL_MS, stop * LABEL_MS) for start, stop, label in sorted(stretches)]


_threads_lock = threading.Lock()
_threads_before: list[int] = []
"""One entry for each file being scored now; all hold the number from before the first."""


@contextmanager
def _torch_threads(num_threads: int) -> Iterator[None]:
    """Let torch use so many threads; when files overlap, the one that ends last must not leave the others' number."""
    import torch

    with _threads_lock:
        _threads_before.append(_threads_before[0] if _threads_before else torch.get_num_threads())
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        with _threads_lock:
            torch.set_num_threads(_threads_before.pop())
