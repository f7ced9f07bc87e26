"""Optional: which language is spoken, by Whisper on three windows of the audio."""

from pathlib import Path

import numpy as np

from datasets.outcomes import MediaError
from extract.container import probe_sound
from extract.sound import read_audio
from extract.whisper import SILENT, WINDOW_MS, Classifier

NUM_WINDOWS = 3


def identify_speech(media_path: str | Path, classify: Classifier, audio_track: int | None = None) -> dict[str, float]:
    """Probability of each language, the mean over those of three windows spread over the sound that have any.

    Args:
        media_path: the media file.
        classify: the model, as `extract.whisper.make_classifier` gives it.
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
