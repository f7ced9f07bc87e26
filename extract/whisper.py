"""The door to faster-whisper: what is said, and in which language.

Optional: `make setup-whisper`, and name the folder of a model in CTranslate2's format (model.bin, tokenizer.json …);
nothing is downloaded, and the package is imported only where a folder is named.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.files import sha256_of
from datasets.media.waveforms import SAMPLING_RATE

WINDOW_MS = 30_000
"""What Whisper looks at in one go."""
WINDOW_SAMPLES = WINDOW_MS * SAMPLING_RATE // 1000
SILENT = 0.001
"""Sound whose loudest sample is below (-60 dB) has neither words nor a language."""
_REPETITIVE = 2.4
"""Whisper's own limit of gzip's ratio, above which a text is a phrase said again and again."""
_ISO_CODES = {"jw": "jv"}
"""Whisper's name of Javanese, a code that ISO 639 has withdrawn."""
_OWN_CODES = {iso: code for code, iso in _ISO_CODES.items()}
Classifier = Callable[[NDArray[np.float32]], Mapping[str, float]]
"""float32 [N] at 16 kHz to the probability of each language, by its ISO 639-1 code."""


@dataclass(frozen=True)
class Transcript:
    """What is said in a stretch of sound."""

    text: str
    language: str
    """An ISO 639-1 code, for few languages one of three letters."""
    confidence: float
    """Geometric mean of the probability of its tokens, (0, 1]."""


Transcriber = Callable[[NDArray[np.float32], str | None], Transcript | None]
"""(float32 [N] at 16 kHz, the language or None to find it) to what is said; None for no words."""


def check_whisper_model(folder: Path) -> Path:
    """Return `folder` if the optional package is there and the folder holds a model; raises ValueError otherwise."""
    if find_spec("faster_whisper") is None:
        raise ValueError("a Whisper model needs a package that is not installed: run `make setup-whisper`")
    lacking = [name for name in ("model.bin", "tokenizer.json") if not (folder / name).is_file()]
    if lacking:
        raise ValueError(f"must be a folder with a Whisper model for CTranslate2: {folder} has no {lacking[0]}")
    return folder


def describe_whisper(folder: Path) -> dict[str, str]:
    """What made a transcript, for the recipe and the release's card."""
    return {"engine": f"faster-whisper {version('faster-whisper')}", "weights_sha256": sha256_of(folder / "model.bin")}


@lru_cache(maxsize=1)
def load_whisper(folder: Path, num_threads: int = 0, num_workers: int = 1) -> Any:
    """The model of a folder, which all threads share.

    Args:
        folder: of the model.
        num_threads: CPU threads of one call; as many as the package likes when 0.
        num_workers: calls at once.
    """
    # Loads CTranslate2 and onnxruntime.
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(folder),
        device="cpu",
        compute_type="int8",
        cpu_threads=num_threads,
        num_workers=num_workers,
        local_files_only=True,
    )


def make_classifier(folder: Path) -> Classifier:
    """What tells the language of the first 30 s of some sound."""
    model = load_whisper(folder)

    def classify(samples: NDArray[np.float32]) -> dict[str, float]:
        _, _, probabilities = model.detect_language(samples[:WINDOW_SAMPLES])
        return {_ISO_CODES.get(code, code): probability for code, probability in probabilities}

    return classify


def make_transcriber(folder: Path, num_threads: int = 0, num_workers: int = 1, beam_size: int = 5) -> Transcriber:
    """What writes down the words of some sound.

    Nothing is drawn by chance, so that the same sound gives the same words. Each window is heard on its own, and what
    is one phrase again and again is left out: Whisper repeats itself where it hears no words.
    """
    model = load_whisper(folder, num_threads, num_workers)

    def transcribe(samples: NDArray[np.float32], language: str | None) -> Transcript | None:
        if np.abs(samples).max(initial=0.0) <= SILENT:
            return None
        pieces, info = model.transcribe(
            samples,
            language=language and _OWN_CODES.get(language, language),
            beam_size=beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        said = [piece for piece in pieces if piece.text.strip() and piece.compression_ratio <= _REPETITIVE]
        num_tokens = sum(len(piece.tokens) for piece in said)
        if not num_tokens:
            return None
        log_probability = sum(piece.avg_logprob * len(piece.tokens) for piece in said) / num_tokens
        text = " ".join(piece.text.strip() for piece in said)
        return Transcript(text, _ISO_CODES.get(info.language, info.language), math.exp(min(log_probability, 0.0)))

    return transcribe
