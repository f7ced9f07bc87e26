"""Does what is said belong to what is seen? A score for every clip, of a head that never heard it or its video.

Sound: stretches of a clip are compared with stretches drawn from other clips, by which a word is known again in another
mouth; or it is what an encoder of sound heard, which knows words already. Picture: the pooled features. Ridge
regression foretells the picture from the sound; the score is how much likelier the two are as a pair than apart, all
being Gaussian: its mean over several draws of stretches, since one draw lacks words that another has. All of it is in
closed form: there are no epochs and no learning rate. Clips are said to be apart by their fold: those of one video have
one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.tables import read_ok, refuse_mixed
from model.calibration import Booleans, Floats, fit_platt
from model.data import ClipSet
from model.settings import AgreeSettings

CODE_VERSION = 2
"""Part of the recipe: raise it when the code changes what comes out."""
Float32 = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
_STRETCHES = (16, 32)
"""Steps of 20 ms that a template lasts: about a syllable or two, and a word."""
_NUM_CEPSTRA, _NUM_OVER_TIME = 16, 6
_HOP = 2
_SHARPNESS = 12.0
_LEAST_SPREAD = 1e-3
_MOST_CORRELATED = 0.99
_EPSILON = 1e-6


def _cosines(length: int, count: int) -> Float32:
    """The first `count` rows of the orthonormal DCT-II, [count, length]."""
    angles = np.pi * np.outer(np.arange(count), np.arange(length) + 0.5) / length
    rows = np.cos(angles)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def cut_stretches(frames: Float32, length: int) -> Float32:
    """Log-mel frames [T, 40] -> one row for every stretch of `length` steps of 20 ms, [P, 96]; at least one.

    Cepstra of pairs of frames without the clip's mean, which is much of a voice and of a room, smoothed over time.
    """
    pairs = frames[: max(2, len(frames) // 2 * 2)]
    pairs = np.pad(pairs, ((0, -len(pairs) % 2), (0, 0)), mode="edge").reshape(-1, 2, frames.shape[1]).mean(axis=1)
    cepstra = pairs @ _cosines(frames.shape[1], _NUM_CEPSTRA).T
    cepstra = cepstra - cepstra.mean(axis=0)
    cepstra = np.pad(cepstra, ((0, max(0, length - len(cepstra))), (0, 0)))
    stretches = np.lib.stride_tricks.sliding_window_view(cepstra, length, axis=0)[::_HOP]
    smooth = stretches @ _cosines(length, _NUM_OVER_TIME).T
    return np.asarray(smooth.reshape(len(smooth), -1), np.float32)


@dataclass(frozen=True)
class Templates:
    """Stretches of some clips that others are compared with."""

    lengths: tuple[int, ...]
    spread: tuple[Float32, ...]
    """Of each length [96]."""
    directions: tuple[Float32, ...]
    """Of each length [K, 96], rows of length 1."""

    def compare(self, frames: Float32) -> Float32:
        """Log-mel [T, 40] -> how well each template is met, at best and all in all: [2 K for each length]."""
        found = []
        for length, spread, directions in zip(self.lengths, self.spread, self.directions, strict=True):
            rows = cut_stretches(frames, length) / spread
            rows /= np.linalg.norm(rows, axis=1, keepdims=True) + _EPSILON
            likeness = rows @ directions.T
            all_in_all = np.log(np.exp(_SHARPNESS * likeness).mean(axis=0)) / _SHARPNESS
            found += [likeness.max(axis=0), all_in_all]
        return np.concatenate(found).astype(np.float32)


def draw_templates(clips: ClipSet, indices: Integers, count: int, rng: np.random.Generator) -> Templates:
    """`count` stretches of each length from clips at `indices`, by chance, the quiet ones left out."""
    spread, directions = [], []
    for length in _STRETCHES:
        drawn = rng.permutation(np.resize(indices, max(len(indices), count)))[: 2 * count]
        several = [cut_stretches(clips.frames(index), length) for index in drawn]
        pool = np.concatenate([rows[rng.choice(len(rows), min(len(rows), 8), replace=False)] for rows in several])
        spread.append(np.maximum(pool.std(axis=0), _LEAST_SPREAD))
        units = pool / spread[-1]
        loudness = np.linalg.norm(units, axis=1)
        loud = np.flatnonzero(loudness >= np.quantile(loudness, 0.3))
        chosen = units[rng.permutation(loud)[:count]]
        directions.append(chosen / (np.linalg.norm(chosen, axis=1, keepdims=True) + _EPSILON))
    return Templates(_STRETCHES, tuple(spread), tuple(directions))


def find_components(pictures: Float32, count: int) -> tuple[Floats, Floats]:
    """What pictures [N, D] have in common: mean [D] and principal directions [D, C], of spread 1 over them."""
    mean = pictures.mean(0, dtype=np.float64)
    _, spread, directions = np.linalg.svd(pictures - mean, full_matrices=False)
    size = min(count, len(pictures) - 1)
    return mean, directions[:size].T * (np.sqrt(len(pictures)) / np.maximum(spread[:size], _EPSILON))


@dataclass(frozen=True)
class Head:
    """What has been learned of sounds and pictures that belong together. F of a sound, C components of a picture."""

    sound_mean: Floats
    sound_spread: Floats
    weights: Floats
    """[F, C] from a sound to the picture that it foretells."""
    foretold_mean: Floats
    foretold_spread: Floats
    correlation: Floats
    """[C] of what a sound foretells with what is seen; 0 of a component that no sound tells of."""

    def score(self, sounds: Float32, seen: Floats) -> Floats:
        """[N, F] and [M, C] -> [N, M] log-likelihood ratios, of correlated Gaussians over two that are not."""
        foretold = ((sounds - self.sound_mean) / self.sound_spread) @ self.weights
        units = (foretold - self.foretold_mean) / self.foretold_spread
        gain = self.correlation / (1 - self.correlation**2)
        alone = [(self.correlation * gain * each**2).sum(axis=1) for each in (units, seen)]
        together = units @ (gain[:, None] * seen.T)
        constant = np.log1p(-(self.correlation**2)).sum()
        return np.asarray(together - 0.5 * (alone[0][:, None] + alone[1][None] + constant), np.float64)


def fit_head(sounds: Float32, seen: Floats, ridge_of_feature: float) -> Head:
    """A head from sounds [N, F] and components of pictures [N, C] of the same clips.

    For the correlations each clip's picture is foretold as if the clip had not been learned from (leave-one-out, exact
    for ridge regression): they are those of clips to come.
    """
    sound_mean, sound_spread = sounds.mean(0, dtype=np.float64), np.maximum(sounds.std(0, dtype=np.float64), _EPSILON)
    rows = (sounds - sound_mean) / sound_spread
    num_clips, num_features = rows.shape
    ridge = ridge_of_feature * num_features
    if num_clips < num_features:  # the same by either way; the smaller matrix is inverted
        inverse = np.linalg.inv(rows @ rows.T + ridge * np.eye(num_clips))
        weights, kept = rows.T @ (inverse @ seen), 1 - ridge * np.diag(inverse)
    else:
        inverse = np.linalg.inv(rows.T @ rows + ridge * np.eye(num_features))
        weights = inverse @ (rows.T @ seen)
        kept = ((rows @ inverse) * rows).sum(axis=1)
    foretold = seen - (seen - rows @ weights) / np.maximum(1 - kept, _EPSILON)[:, None]
    mean, deviation = foretold.mean(axis=0), np.maximum(foretold.std(axis=0), _EPSILON)
    correlation = ((foretold - mean) / deviation * (seen - seen.mean(axis=0))).mean(axis=0)
    correlation = np.clip(correlation, 0, _MOST_CORRELATED)
    return Head(sound_mean, sound_spread, weights, mean, deviation, correlation)


@dataclass(frozen=True)
class Agreement:
    """What cross-fitting gives for N clips."""

    scores: Floats
    """[N] log-likelihood ratio of the clip's own sound and picture."""
    probabilities: Floats
    """[N] of belonging together, where as many do as do not."""
    shuffled_scores: Floats
    """[N] with the sound of another video of the same fold."""
    shuffled_probabilities: Floats
    """[N]."""


def read_heard(root: str | Path, clip_ids: Sequence[str]) -> Float32:
    """What an encoder of sound heard in clips, from features_sound: mean and maximum over time, [N, 2 D].

    Raises:
        ValueError: a clip of which the table has nothing; or rows of several recipes, of which none is current.
    """
    refuse_mixed(root, ["features_sound"])
    table = read_ok(root, "features_sound", ["clip_id", "values"])
    at = pc.index_in(pa.array(clip_ids, table["clip_id"].type), table["clip_id"])
    if at.null_count:
        mend = "name features.encoder_sound and run featurize, or set agree.sound = 'log_mel'"
        raise ValueError(f"agree.sound: features_sound has nothing of {at.null_count} of {len(clip_ids)} clips: {mend}")
    heard = []
    for value in (table["values"][place] for place in at.to_pylist()):
        rows = value.values.flatten().to_numpy().reshape(len(value), -1).astype(np.float32)
        heard.append(np.concatenate([rows.mean(axis=0), rows.max(axis=0)]))
    return np.stack(heard)


def cross_fit(
    clips: ClipSet,
    folds: Integers,
    is_learned_from: Booleans,
    settings: AgreeSettings,
    heard: Float32 | None = None,
) -> Agreement:
    """Score every clip by a head that learned from other folds only, and calibrate by the scores of other folds only.

    Args:
        clips: N of them.
        folds: [N] from 0 on; clips that know of each other have the same.
        is_learned_from: [N]; others are scored only.
        settings: of the heads.
        heard: [N, F] what was heard in each clip; log-mel frames are compared with templates when not given.

    Raises:
        ValueError: a fold is empty, or all of it is one video, or there is nothing to learn from outside of one.
    """
    own, shuffled = np.zeros(len(clips)), np.zeros(len(clips))
    videos = np.array(clips.video_ids)
    for fold in range(settings.num_folds):
        rng = np.random.default_rng([settings.seed, fold])
        learned, held = np.flatnonzero((folds != fold) & is_learned_from), np.flatnonzero(folds == fold)
        num_videos = len(np.unique(videos[held]))
        if len(learned) < 2 or num_videos < 2:
            told = f"fold {fold} of {settings.num_folds} has clips of {num_videos} videos, {len(learned)} to learn from"
            raise ValueError(f"{told}: it takes 2 of each; set agree.num_folds lower or curate more")
        mean, components = find_components(clips.video[learned], settings.num_components)
        seen = (clips.video - mean) @ components
        draws = (_compare(clips, learned, held, settings, rng) for _ in range(settings.num_draws))
        sounds = draws if heard is None else [(heard[learned], heard[held])]
        scores = np.mean(
            [fit_head(known, seen[learned], settings.ridge).score(new, seen[held]) for known, new in sounds], axis=0
        )
        own[held] = np.diag(scores)
        chance = np.random.default_rng([settings.seed, fold, 1])  # whatever is set
        others = [chance.choice(np.flatnonzero(videos[held] != video)) for video in videos[held]]
        shuffled[held] = scores[others, np.arange(len(held))]
    probabilities, shuffled_probabilities = np.zeros(len(clips)), np.zeros(len(clips))
    for fold in range(settings.num_folds):
        known, held = (folds != fold) & is_learned_from, folds == fold
        answers = np.r_[np.ones(known.sum(), bool), np.zeros(known.sum(), bool)]
        calibrate = fit_platt(np.r_[own[known], shuffled[known]], answers)
        probabilities[held], shuffled_probabilities[held] = calibrate(own[held]), calibrate(shuffled[held])
    return Agreement(own, probabilities, shuffled, shuffled_probabilities)


def _compare(
    clips: ClipSet, learned: Integers, held: Integers, settings: AgreeSettings, rng: np.random.Generator
) -> tuple[Float32, Float32]:
    """[L, F] and [H, F]: clips that are learned from and others, compared with stretches drawn from the former."""
    templates = draw_templates(clips, learned, settings.num_templates, rng)
    known, new = (np.stack([templates.compare(clips.frames(index)) for index in own]) for own in (learned, held))
    return known, new
