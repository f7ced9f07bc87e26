"""Windows of whole videos are those of the original's loader."""

import json

import golden_avlnet as golden
import numpy as np
import pytest

from model.windows import (
    VideoFeatures,
    Window,
    caption_window,
    cut_video,
    frame_of_seconds,
    random_windows,
    seconds_of_frames,
)

INFO = json.loads((golden.FOLDER / "b_loaders_info.json").read_text())
EXPECTED = golden.load("b_video_and_loaders.npz")
CAPTIONS = {
    "vidA": ([0.0, 4.0, 9.5, 15.0, 20.0], [4.0, 9.5, 15.0, 20.0, 26.0]),
    "vidB": ([0.0, 3.0], [3.0, 5.5]),
}


def cut_audio(video: VideoFeatures, window: Window, num_frames: int) -> np.ndarray:
    """[num_frames, 40] log-mel of a window, padded with 0, as a batch of the model has it."""
    audio = np.zeros((num_frames, 40), np.float32)
    audio[: window.num_frames] = video.log_mel[window.frame : window.frame + window.num_frames]
    return audio


def video(name: str) -> VideoFeatures:
    num_frames = {"vidA": 3000, "vidB": 600}[name]
    mel = np.clip(golden.RULE["arr"](f"b/{name}/mel", (40, num_frames), 20.0, -40.0), -80, 0).astype(np.float16)
    rows = [EXPECTED[f"in_{name}_{family}_f16"].astype(np.float32) for family in ("2d", "3d")]
    return VideoFeatures(*rows, log_mel=mel.astype(np.float32).T)


@pytest.mark.parametrize("name", ["vidA", "vidB"])
def test_random_windows_are_the_originals_draws(name):
    expected = INFO[f"windows_seed7_{name}"]
    windows = random_windows(expected["frames"], 4, 1000, np.random.RandomState(7))
    assert [w.start_s for w in windows] == expected["starts"]
    assert [w.end_s for w in windows] == expected["ends"]
    assert [w.num_frames for w in windows] == expected["nframes"]


@pytest.mark.parametrize("num_frames", [1000, 1024])
def test_items_of_random_windows_equal_the_originals(num_frames):
    generator = np.random.RandomState(1)
    for item, name in enumerate(("vidA", "vidB")):
        features = video(name)
        windows = random_windows(len(features.log_mel), 4, num_frames, generator)
        key = f"rand{num_frames}_{item}"
        assert [w.num_frames for w in windows] == EXPECTED[f"{key}_nframes"].tolist()
        assert np.abs(np.stack([cut_video(features, w) for w in windows]) - EXPECTED[f"{key}_video"]).max() < 1e-6
        sums = np.stack([cut_audio(features, w, num_frames).sum(axis=1) for w in windows])
        np.testing.assert_allclose(sums, EXPECTED[f"{key}_audio_colsum"], atol=2e-3)


def test_items_of_grown_captions_equal_the_originals_empty_audio_included():
    generator = np.random.RandomState(1)
    for item, name in enumerate(("vidA", "vidB")):
        features = video(name)
        drawn = generator.choice(range(len(CAPTIONS[name][0])), 4, replace=True)
        windows = [
            caption_window(*CAPTIONS[name], index, 10.0, len(features.log_mel), 1000, clamp=False)[0] for index in drawn
        ]
        key = f"asr1000_min10_{item}"
        assert [w.num_frames for w in windows] == EXPECTED[f"{key}_nframes"].tolist()
        assert np.abs(np.stack([cut_video(features, w) for w in windows]) - EXPECTED[f"{key}_video"]).max() < 1e-6
        sums = np.stack([cut_audio(features, w, 1000).sum(axis=1) for w in windows])
        np.testing.assert_allclose(sums, EXPECTED[f"{key}_audio_colsum"], atol=2e-3)


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("min_s", [5, 8, 10, 100])
def test_captions_grow_as_in_the_original(index, min_s):
    window, _ = caption_window(*CAPTIONS["vidA"], index, min_s, 3000, 1000, clamp=False)
    assert [window.num_frames, window.start_s, window.end_s] == INFO[f"asr_ind{index}_min{min_s}"]


def test_a_caption_at_the_start_has_its_audio_when_clamped():
    window, grown = caption_window(*CAPTIONS["vidA"], 0, 5, 3000, 1000)
    assert (window.frame, window.num_frames, grown) == (0, 948, [0, 1])


def test_pooled_windows_equal_the_originals():
    for name in ("vidA", "vidB"):
        windows = [(0, 10), (1, 2), (3, 5)]
        pooled = np.stack([cut_video(video(name), window_of(*times)) for times in windows])
        assert np.abs(pooled - EXPECTED[f"pool_{name}"]).max() < 1e-6


def window_of(start_s: float, end_s: float):
    return caption_window([start_s], [end_s], 0, 0, 3000, 1000)[0]


def test_a_window_past_the_last_row_gives_zeros():
    assert not cut_video(video("vidB"), window_of(100, 110)).any()


def test_times_and_frames_are_librosas():
    assert {t: frame_of_seconds(float(t)) for t in INFO["time_to_frames"]} == INFO["time_to_frames"]
    times = {n: seconds_of_frames(int(n)) for n in INFO["frames_to_time"]}
    assert times == pytest.approx(INFO["frames_to_time"])
