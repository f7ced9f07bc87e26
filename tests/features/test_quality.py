"""What is seen and heard of a clip, in figures that a person would agree with."""

import numpy as np
import pytest

from features.frames.decoded import DecodedClip
from features.quality.figures import measure_clip, share_labels

RNG = np.random.default_rng(4)
SIZE = (64, 96)


def clip(frames, waveform=()):
    frames = np.asarray(frames).round().clip(0, 255).astype(np.uint8)
    return DecodedClip(frames, np.empty((0, 112, 112, 3), np.uint8), np.asarray(waveform, np.float32))


def scene(seed=0):
    return np.random.default_rng(seed).uniform(40, 220, (*SIZE, 3))


def measure(frames, waveform=()):
    return measure_clip([clip(frames, waveform)])


def test_a_still_with_coding_noise_is_still_and_a_mouth_that_moves_is_not():
    noisy = [scene() + RNG.normal(0, 2, (*SIZE, 3)) for _ in range(6)]
    assert measure(noisy).still_share == 1
    talking = np.stack([scene()] * 6)
    for i in range(6):
        talking[i, 30:36, 40:52] = 255 * (i % 2)
    assert measure(talking).still_share == 0


def test_a_slide_show_is_still_but_for_its_changes():
    assert measure([scene(i // 5) for i in range(10)]).still_share == 8 / 9


def test_one_frame_says_nothing_of_stillness_and_no_sound_nothing_of_sound():
    found = measure([scene()])
    assert (found.still_share, found.level_db, found.clipped_share, found.floor_db) == (None,) * 4


def test_pieces_give_what_the_whole_gives():
    frames, waveform = [scene(i // 3) for i in range(9)], RNG.normal(0, 0.1, 16_000 * 9)
    parts = [clip(frames[i : i + 4], waveform[i * 16_000 : (i + 4) * 16_000]) for i in range(0, 9, 4)]
    assert measure_clip(parts) == measure(frames, waveform)


def test_black_frames_with_a_subtitle_are_dark_and_a_night_scene_is_not():
    black = np.full((*SIZE, 3), 16.0)
    black[60:62, 40:50] = 235
    night = scene() / 4
    assert measure([black, black, scene(), scene()]).dark_share == 0.5
    assert measure([night]).dark_share == 0


def test_bars_at_the_edges_count_by_their_area_and_a_dark_moment_is_no_bar():
    boxed = scene()
    boxed[:8] = boxed[-8:] = 16
    assert measure([boxed, boxed]).border_share == pytest.approx(16 / 64)
    assert measure([boxed, scene()]).border_share == 0
    assert measure([np.zeros((*SIZE, 3))]).border_share == 1


def test_levels_are_decibels_below_full_scale():
    tone = np.sin(np.arange(16_000) / 5)
    assert measure([scene()], 0.1 * tone).level_db == pytest.approx(-23.0, abs=0.1)
    assert measure([scene()], np.zeros(16_000)).level_db == -120


def test_clipped_samples_are_counted():
    tone = np.sin(np.arange(16_000) / 5)
    assert measure([scene()], 0.9 * tone).clipped_share == 0
    assert measure([scene()], np.clip(3 * tone, -1, 0.999)).clipped_share == pytest.approx(0.79, abs=0.02)


def test_music_under_speech_raises_the_floor():
    speech = RNG.normal(0, 0.1, 160_000) * np.repeat([1, 1, 1, 0.001], 40_000)
    music = 0.03 * np.sin(np.arange(160_000) / 7)
    assert measure([scene()], speech).floor_db < -40
    assert measure([scene()], speech + music).floor_db > -20


def test_labels_are_shared_out_by_the_time_that_is_inside():
    segments = [("speech", 0, 4000), ("music", 4000, 5000), ("speech", 5000, 9000), ("noise", 9000, 20_000)]
    assert share_labels(segments, 2000, 10_000, ("speech", "music")) == {"speech": 6 / 8, "music": 1 / 8}
    assert share_labels([], 0, 10, ("speech",)) == {"speech": 0}


def test_what_cannot_be_a_clip_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        measure_clip([])
