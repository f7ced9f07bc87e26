"""From samples to the embedding that the original's audio front end leads to."""

import golden_avlnet as golden
import numpy as np
import pytest
import torch

from features.audio import log_mel

FRONT_END = golden.load("a_audio_frontend.npz")


@pytest.mark.parametrize("case", ["len_16000_raw", "exact_163680_T1024"])
def test_a_waveform_is_embedded_as_by_the_original(case):
    samples = FRONT_END[f"wav__{case}"]
    ours = np.asarray(log_mel(samples.astype(np.float32) / 32768))
    theirs = FRONT_END[f"mel__{case}"]
    model = golden.golden_model()
    counts = torch.tensor([theirs.shape[1]])
    with torch.no_grad():
        actual, expected = (model.embed_audio(torch.as_tensor(mel)[None], counts) for mel in (ours, theirs))
    assert golden.relative_error(actual, expected.numpy()) < 1e-5
