"""Who speaks: HTS mei, which is Japanese, and the many voices of eSpeak NG."""

import contextlib
import os
from functools import cache
from math import gcd
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.signal import resample_poly

from demo.espeak import speak_espeak
from demo.sound import SAMPLING_RATE, Waveform

VARIANTS = ("f2", "f4", "m3", "m7", "Alicia", "edward")
"""eSpeak's, of any language."""
_MEI_SAMPLING_RATE = 48_000


def speak(text: str, voice: str) -> Waveform:
    """Text to a waveform, peak 0.7, without the silence around it, a whole number of milliseconds long.

    Args:
        text: a sentence in the voice's language.
        voice: "mei:<half tones>:<speed>" or "espeak:<language>+<variant>:<words per minute>:<pitch>".

    Raises:
        ValueError: no such voice.
    """
    engine, name, *numbers = voice.split(":")
    if engine == "mei":
        raw, _rate = _open_jtalk().tts(text, speed=float(numbers[0]), half_tone=float(name))
        return _trim(np.asarray(raw, np.float64), _MEI_SAMPLING_RATE)
    return _trim(*speak_espeak(_to_kana(text) if name.startswith("ja") else text, name, *map(int, numbers)))


def _trim(raw: Waveform, sampling_rate: int) -> Waveform:
    factor = gcd(sampling_rate, SAMPLING_RATE)
    wave = resample_poly(raw, SAMPLING_RATE // factor, sampling_rate // factor)
    wave = wave / np.abs(wave).max()
    loud = np.flatnonzero(np.abs(wave) > 0.01)
    wave = wave[loud[0] : loud[-1] + 1]
    padded: Waveform = np.pad(0.7 * wave, (0, -len(wave) % (SAMPLING_RATE // 1000))).astype(np.float32)
    return padded


@cache
def _to_kana(text: str) -> str:
    """What eSpeak's Japanese can read."""
    return str(_open_jtalk().g2p(text, kana=True))


@cache
def _open_jtalk() -> ModuleType:
    with (
        Path(os.devnull).open("w") as devnull,
        contextlib.redirect_stdout(devnull),
        contextlib.redirect_stderr(devnull),
    ):
        import pyopenjtalk  # prints advice about an optional package when imported

    module: ModuleType = pyopenjtalk
    return module
