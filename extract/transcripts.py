"""What is said in a clip: rows of the table transcripts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from datasets.media.waveforms import SAMPLING_RATE
from datasets.outcomes import OK, RowError, dropped, failed
from datasets.settings import OUTSIDE_RECIPE, Settings
from extract.language import base_language
from extract.sound import read_audio
from extract.whisper import Transcriber, check_whisper_model

GAP_MS = 200
"""Silence put between two stretches of speech, so that words at their ends stay apart."""


class TranscriptSettings(Settings):
    """How what is said is written down; no table and no release has transcripts where no model is named."""

    model: Annotated[Annotated[Path, AfterValidator(check_whisper_model)] | None, OUTSIDE_RECIPE] = None
    """Folder of a Whisper model for CTranslate2, of which the sha256 is part of the recipe. Needs
    `make setup-whisper`; off when not set."""
    language: str | None = Field(default=None, min_length=2)
    """What is spoken; `selection.language` when not set, and where that takes any language it is found clip by clip."""
    beam_size: int = Field(default=5, ge=1, le=20)
    """Hypotheses that are followed at once; Whisper's own default is 5."""


def speech_of_clip(segments: Sequence[tuple[int, int]], start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """The parts of [start_ms, end_ms) in which someone speaks, in ms from the start of the clip.

    Args:
        segments: (start_ms, end_ms) of the video's speech, in order.
        start_ms: of the clip.
        end_ms: of the clip.
    """
    meeting = ((max(start, start_ms), min(end, end_ms)) for start, end in segments)
    return [(start - start_ms, end - start_ms) for start, end in meeting if start < end]


def join_speech(samples: NDArray[np.float32], speech: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Only the speech of a clip: in silence and music Whisper invents phrases.

    Args:
        samples: float32 [N] at 16 kHz.
        speech: (start_ms, end_ms) from the first sample.
    """
    gap = np.zeros(GAP_MS * SAMPLING_RATE // 1000, np.float32)
    pieces: list[NDArray[np.float32]] = []
    for start, end in speech:
        pieces += [samples[start * SAMPLING_RATE // 1000 : end * SAMPLING_RATE // 1000], gap]
    return np.concatenate(pieces[:-1]) if pieces else gap[:0]


def transcribe_clip(
    clip: dict[str, Any], speech: Sequence[tuple[int, int]], transcribe: Transcriber, language: str | None, engine: str
) -> dict[str, Any]:
    """The row of one clip.

    Args:
        clip: clip_id, video_id, start_ms, end_ms, and media_path (None where the file is gone) and audio_track.
        speech: of its video, as (start_ms, end_ms).
        transcribe: the model.
        language: spoken in it; found where None.
        engine: kept in the row.
    """
    row = {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "engine": engine}
    parts = speech_of_clip(speech, clip["start_ms"], clip["end_ms"])
    if not parts:
        return {**row, **dropped("no_words", "no speech in this clip")}
    try:
        if clip["media_path"] is None:
            raise RowError("media_missing", f"no media of {clip['video_id']}")
        samples = read_audio(clip["media_path"], clip["start_ms"], clip["end_ms"], clip["audio_track"])
    except RowError as error:
        return {**row, **failed(error.reason, error.detail)}
    said = transcribe(join_speech(samples, parts), base_language(language))
    if said is None:
        return {**row, **dropped("no_words", "no words were recognised, or one phrase again and again")}
    return {**row, "text": said.text, "language": said.language, "confidence": said.confidence, **OK}
