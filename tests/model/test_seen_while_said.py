"""Whether what is said belongs to what is seen: told apart, never by who saw the clip, as a probability."""

from dataclasses import replace

import numpy as np
import pytest

from model.calibration import area_under_curve, calibration_error, fit_platt, reliability
from model.data import ClipSet
from model.seen_while_said import cross_fit, cut_stretches
from model.settings import AgreeSettings

SETTINGS = AgreeSettings(num_folds=3, num_templates=64, num_components=8)
NUM_CLIPS, NUM_WORDS = 120, 6


def say_words(words, seed):
    """Log-mel frames in which each word, a pattern of 60 frames, stands somewhere in noise."""
    patterns = np.random.default_rng(7).normal(0, 12, (NUM_WORDS, 6, 8))
    rng = np.random.default_rng(seed)
    clips = []
    for word in words:
        frames = rng.normal(-50, 3, (int(rng.integers(120, 200)), 40))
        start = rng.integers(0, len(frames) - 60)
        frames[start : start + 60] += np.kron(patterns[word], np.ones((10, 5)))
        clips.append(frames.astype(np.float32))
    return clips


@pytest.fixture(scope="module")
def world():
    """Clips that show what they say, but for every tenth; two clips a video."""
    rng = np.random.default_rng(1)
    shown = rng.integers(0, NUM_WORDS, NUM_CLIPS)
    is_planted = np.arange(NUM_CLIPS) % 10 == 0
    said = np.where(is_planted, (shown + 1 + rng.integers(0, NUM_WORDS - 1, NUM_CLIPS)) % NUM_WORDS, shown)
    pictures = np.eye(NUM_WORDS, 16)[shown] + rng.normal(0, 0.1, (NUM_CLIPS, 16))
    frames = say_words(said, 2)
    lengths = np.array([len(one) for one in frames])
    names = [f"clip{i:03d}" for i in range(NUM_CLIPS)]
    videos = [f"video{i // 2:03d}" for i in range(NUM_CLIPS)]
    starts = np.cumsum(lengths) - lengths
    chunk = np.zeros(NUM_CLIPS, np.int64)
    clips = ClipSet(names, videos, (np.concatenate(frames),), chunk, starts, lengths, pictures.astype(np.float32))
    return clips, np.arange(NUM_CLIPS) // 2 % 3, is_planted


@pytest.fixture(scope="module")
def found(world):
    clips, folds, _ = world
    return cross_fit(clips, folds, np.ones(NUM_CLIPS, bool), SETTINGS)


def test_speech_about_something_else_is_told_from_speech_about_the_picture(world, found):
    _, _, is_planted = world
    assert area_under_curve(found.probabilities[~is_planted], found.probabilities[is_planted]) > 0.95
    assert area_under_curve(found.scores, found.shuffled_scores) > 0.85


def test_what_an_encoder_of_sound_heard_stands_in_for_stretches(world):
    clips, folds, is_planted = world
    heard = clips.video.copy()
    heard[is_planted] = np.roll(heard[is_planted], 1, axis=1)  # they say another word than they show
    found = cross_fit(clips, folds, np.ones(NUM_CLIPS, bool), SETTINGS, heard)
    assert area_under_curve(found.scores[~is_planted], found.scores[is_planted]) > 0.95


def test_a_clip_is_scored_by_a_head_that_never_saw_its_fold(world, found):
    clips, folds, _ = world
    own = np.flatnonzero(folds == 1)
    pictures = clips.video.copy()
    pictures[own[2:]] = 9.0  # all of the fold but the first video
    again = cross_fit(replace(clips, video=pictures), folds, np.ones(NUM_CLIPS, bool), SETTINGS)
    assert again.scores[own[0]] == found.scores[own[0]] and again.scores[own[4]] != found.scores[own[4]]


def test_clips_of_val_and_test_are_scored_and_never_learned_from(world):
    clips, folds, _ = world
    is_train = np.arange(NUM_CLIPS) < 90
    first = cross_fit(clips, folds, is_train, SETTINGS)
    pictures = clips.video.copy()
    pictures[~is_train] = 9.0
    again = cross_fit(replace(clips, video=pictures), folds, is_train, SETTINGS)
    assert np.array_equal(first.scores[is_train], again.scores[is_train])
    assert np.array_equal(first.probabilities[is_train], again.probabilities[is_train])


def test_equal_seeds_give_equal_scores_and_others_give_others(world, found):
    clips, folds, _ = world
    everything = clips, folds, np.ones(NUM_CLIPS, bool)
    assert np.array_equal(cross_fit(*everything, SETTINGS).scores, found.scores)
    assert not np.array_equal(cross_fit(*everything, SETTINGS.model_copy(update={"seed": 2})).scores, found.scores)


def test_the_curve_of_the_probabilities_is_near_the_diagonal(found):
    probabilities = np.concatenate([found.probabilities, found.shuffled_probabilities])
    answers = np.repeat([True, False], NUM_CLIPS)
    assert calibration_error(probabilities, answers) < 0.2


def test_a_fold_of_one_video_is_refused_in_a_line_that_says_what_to_do(world):
    clips, _, _ = world
    folds = np.where(np.array(clips.video_ids) == "video000", 0, 1)
    with pytest.raises(ValueError, match=r"clips of 1 videos.* set agree.num_folds lower"):
        cross_fit(clips, folds, np.ones(NUM_CLIPS, bool), SETTINGS.model_copy(update={"num_folds": 2}))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 31, 33, 400])
def test_a_clip_of_any_length_has_a_stretch(num_frames):
    rows = cut_stretches(np.random.default_rng(1).normal(-40, 9, (num_frames, 40)).astype(np.float32), 32)
    assert len(rows) >= 1 and rows.shape[1] == 96 and np.isfinite(rows).all()


def test_platt_finds_the_line_that_answers_were_drawn_by():
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 50, 20_000)
    answers = rng.random(20_000) < 1 / (1 + np.exp(-0.04 * scores))
    line = fit_platt(scores, answers)
    assert line.slope == pytest.approx(0.04, rel=0.05) and line.offset == pytest.approx(0, abs=0.05)


def test_both_kinds_of_answers_weigh_the_same_however_many_there_are():
    scores, answers = np.r_[np.full(900, 1.0), np.full(100, 1.0)], np.repeat([True, False], [900, 100])
    assert fit_platt(scores, answers)(np.ones(1))[0] == pytest.approx(0.5, abs=0.02)
    assert reliability(np.full(1000, 0.5), answers)[0].found == pytest.approx(0.5)


def test_answers_of_one_kind_calibrate_nothing():
    with pytest.raises(ValueError, match="both kinds, got 3 true and 0 false"):
        fit_platt(np.arange(3.0), np.ones(3, bool))


def test_a_tie_is_half_of_an_answer():
    assert area_under_curve(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx(0.875)
