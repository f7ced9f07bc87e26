from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.audio import log_mel, mel_basis

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "avlnet" / "a_audio_frontend.npz")
CASES = sorted(key.removeprefix("wav__") for key in GOLDEN if key.startswith("wav__"))


@pytest.mark.parametrize("case", CASES)
def test_log_mel_is_the_references(case: str) -> None:
    expected = GOLDEN[f"mel__{case}"]
    actual = log_mel(GOLDEN[f"wav__{case}"].astype(np.float32) / 32768)
    num_frames = min(int(GOLDEN[f"n__{case}"]), expected.shape[1])
    assert actual.dtype == np.float32
    assert np.abs(actual[:, :num_frames] - expected[:, :num_frames]).max() < 1e-3


def test_the_mel_basis_is_the_references() -> None:
    assert np.abs(mel_basis() - GOLDEN["const__mel40x201"]).max() < 1e-8


def test_silence_is_zero_decibels_as_in_the_reference() -> None:
    assert np.array_equal(log_mel(np.zeros(16000, np.float32)), np.zeros((40, 101), np.float32))


def test_one_sample_gives_one_frame() -> None:
    assert log_mel(np.array([0.5], np.float32)).shape == (40, 1)


@settings(max_examples=30)
@given(st.integers(1, 2000), st.floats(0.1, 1.0))  # quieter, and the floor of 1e-10 in power is met
def test_every_length_gives_one_frame_a_hop_and_loudness_does_not_matter(num_samples: int, gain: float) -> None:
    waveform = np.random.default_rng(num_samples).standard_normal(num_samples).astype(np.float32) * 0.2
    mel = log_mel(waveform)
    assert mel.shape == (40, 1 + num_samples // 160)
    assert mel.max() == 0
    assert mel.min() >= -80
    if num_samples >= 400:
        assert np.abs(log_mel(waveform * np.float32(gain)) - mel).max() < 0.1


def test_more_than_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        log_mel(np.zeros((2, 100)))


def test_samples_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        log_mel(np.array([0.0, np.nan]))
