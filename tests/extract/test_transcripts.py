"""What is said in a clip, by a real Whisper on real synthetic speech."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.io import wavfile

from demo.sound import SAMPLING_RATE as VOICE_RATE
from demo.voices import speak
from extract import whisper
from extract.transcripts import GAP_MS, TranscriptSettings, join_speech, speech_of_clip, transcribe_clip
from extract.whisper import Transcript, make_classifier, make_transcriber

ENGINE = "faster-whisper"
SENTENCE = "次に、玉ねぎを薄く切ります。"


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> dict:
    """20 s of sound in which someone speaks from 8 s on."""
    said = speak(SENTENCE, "mei:0:1.0")
    sound = np.zeros(20 * VOICE_RATE, np.float32)
    sound[8 * VOICE_RATE :][: len(said)] = said
    path = tmp_path_factory.mktemp("sound") / "clip.wav"
    wavfile.write(path, VOICE_RATE, (sound * 32767).astype(np.int16))
    return {
        "clip_id": "v_000000000_000020000",
        "video_id": "v",
        "start_ms": 0,
        "end_ms": 20_000,
        "media_path": str(path),
        "audio_track": None,
        "speech": [(8000, 8000 + len(said) * 1000 // VOICE_RATE)],
    }


def row_of(clip, transcribe, speech=None):
    return transcribe_clip(clip, clip["speech"] if speech is None else speech, transcribe, "ja", ENGINE)


def test_the_words_of_a_clip_are_written_down_with_their_confidence(clip, whisper_model):
    row = row_of(clip, make_transcriber(whisper_model, 1))
    assert (row["status"], row["language"], row["engine"]) == ("ok", "ja", ENGINE)
    assert "玉ねぎ" in row["text"] and "切ります" in row["text"]
    assert 0.4 < row["confidence"] <= 1


def test_the_same_sound_gives_the_same_words(clip, whisper_model):
    model = make_transcriber(whisper_model, 1)
    assert row_of(clip, model) == row_of(clip, model)


@pytest.mark.parametrize("sound", [np.zeros(48_000, np.float32), np.full(48_000, 1e-4, np.float32)])
def test_silence_has_no_words(whisper_model, sound):
    assert make_transcriber(whisper_model, 1)(sound, "ja") is None


def test_only_speech_is_heard(clip):
    heard = []
    row_of(clip, lambda samples, language: heard.append((len(samples), language)) or Transcript("x", "ja", 1.0))
    start, end = clip["speech"][0]
    assert heard == [((end - start) * 16, "ja")]


def test_a_clip_without_speech_or_words_is_dropped_with_its_reason(clip):
    assert row_of(clip, None, speech=[])["reason"] == "no_words"
    assert row_of(clip, lambda *_: None)["reason"] == "no_words"


@pytest.mark.parametrize("path", [None, "no_such_file.mp4"])
def test_a_clip_whose_media_are_gone_fails_with_its_reason(clip, path):
    assert row_of({**clip, "media_path": path}, None)["reason"] == "media_missing"


def test_speech_is_cut_to_the_clip_and_joined_with_a_short_silence():
    parts = speech_of_clip([(0, 500), (900, 1200), (1500, 5000), (9000, 9500)], 1000, 2000)
    assert parts == [(0, 200), (500, 1000)]
    samples = np.arange(16_000, dtype=np.float32)
    joined = join_speech(samples, parts)
    gap = np.zeros(GAP_MS * 16, np.float32)
    np.testing.assert_array_equal(joined, np.concatenate([samples[:3200], gap, samples[8000:]]))


def test_a_model_that_cannot_be_loaded_is_refused_with_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ValidationError, match=r"has no model\.bin"):
        TranscriptSettings(model=tmp_path)
    monkeypatch.setattr(whisper, "find_spec", lambda name: None)
    with pytest.raises(ValidationError, match="run `make setup-whisper`"):
        TranscriptSettings(model=tmp_path)


def test_javanese_which_whisper_calls_by_a_withdrawn_code_is_asked_for_and_told_by_its_own(monkeypatch):
    asked = []

    def transcribe(samples, language, **_):
        asked.append(language)
        piece = SimpleNamespace(text="mangan", compression_ratio=1.0, tokens=[1], avg_logprob=-0.1)
        return [piece], SimpleNamespace(language="jw")

    model = SimpleNamespace(transcribe=transcribe, detect_language=lambda _: ("jw", 0.9, [("jw", 0.9), ("id", 0.1)]))
    monkeypatch.setattr(whisper, "load_whisper", lambda *_: model)
    said = make_transcriber(Path("model"))(np.ones(16_000, np.float32), "jv")
    assert asked == ["jw"] and said is not None and said.language == "jv"
    assert make_classifier(Path("model"))(np.ones(16_000, np.float32)) == {"jv": 0.9, "id": 0.1}
