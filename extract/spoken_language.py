"""Optional: which language is spoken, by Whisper on three windows of the audio.

faster-whisper is no dependency of the project: `pip install faster-whisper`, and name the folder of a model in
CTranslate2's format. It is imported only when a folder is named.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.waveforms import SAMPLING_RATE
from extract.container import MediaError, probe_sound
from extract.sound import read_audio

Classifier = Callable[[NDArray[np.float32]], Mapping[str, float]]
"""float32 [N] at 16 kHz to the probability of each language, by its ISO 639-1 code."""

NUM_WINDOWS = 3
WINDOW_MS = 30_000
"""What Whisper looks at in one go."""
SILENT = 0.001
"""A window whose loudest sample is below (-60 dB) has no language."""


def check_spoken_model(folder: Path) -> Path:
    """Return `folder` if the optional package is there and the folder holds a model; raises ValueError otherwise."""
    from importlib.util import find_spec

    if find_spec("faster_whisper") is None:
        raise ValueError("spoken_model needs a package that is not installed: run `pip install faster-whisper`")
    if not (folder / "model.bin").is_file():
        raise ValueError("spoken_model must be a folder with a Whisper model for CTranslate2 (model.bin)")
    return folder


def identify_speech(media_path: str | Path, classify: Classifier, audio_track: int | None = None) -> dict[str, float]:
    """Probability of each language, the mean over those of three windows spread over the sound that have any.

    Args:
        media_path: the media file.
        classify: the model, as `load_classifier` gives it.
        audio_track: index of the stream; chosen by the one rule when not given.

    Returns:
        Nothing where no window has sound.

    Raises:
        MediaError: there is no sound, or it cannot be decoded.
    """
    track, start_ms, end_ms = probe_sound(media_path, audio_track)
    answers = []
    for start, end in place_windows(end_ms - start_ms):
        try:
            samples = read_audio(media_path, start_ms + start, start_ms + end, track)
        except MediaError:  # nothing could be decoded here, which says nothing of the rest of the file
            continue
        if np.abs(samples).max(initial=0.0) > SILENT:
            answers.append(classify(samples))
    languages = sorted({language for answer in answers for language in answer})
    return {name: sum(answer.get(name, 0.0) for answer in answers) / len(answers) for name in languages}


def place_windows(duration_ms: int) -> list[tuple[int, int]]:
    """[start_ms, end_ms) of three windows, each in the middle of a third; one for what is no longer than a window."""
    if duration_ms <= WINDOW_MS:
        return [(0, duration_ms)]
    third = duration_ms / NUM_WINDOWS
    length = min(WINDOW_MS, int(third))
    starts = [int((i + 0.5) * third - length / 2) for i in range(NUM_WINDOWS)]
    return [(start, start + length) for start in starts]


@lru_cache(maxsize=1)
def load_classifier(folder: Path) -> Classifier:
    """The Whisper model of `folder`; nothing is downloaded. All threads share one."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)

    def classify(samples: NDArray[np.float32]) -> dict[str, float]:
        _, _, probabilities = model.detect_language(samples[: WINDOW_MS * SAMPLING_RATE // 1000])
        return dict(probabilities)

    return classify
