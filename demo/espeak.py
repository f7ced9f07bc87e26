"""Speech by eSpeak NG: many synthetic voices of many languages, fast; one package brings library and voices."""

import _ctypes
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import espeakng_loader
import numpy as np

from demo.sound import Waveform

_SYNCHRONOUS, _CHARACTERS, _UTF8 = 2, 1, 1
_RATE, _PITCH = 1, 3
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def speak_espeak(text: str, voice: str, words_per_minute: int = 165, pitch: int = 50) -> tuple[Waveform, int]:
    """Text to (waveform float32 [N] with peak 0.7, its sampling rate in Hz).

    Args:
        text: in the script that the voice reads; its Japanese reads kana only.
        voice: a language and a variant, as in "en-us+f3".
        words_per_minute: 80 to 450.
        pitch: 0 to 100.

    The same text in the same voice is the same sound, whatever was said before.

    Raises:
        ValueError: no such voice.
    """
    with _open_library() as (library, sampling_rate, pieces):
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice!r}: take a language and a variant, as in en-us+f3")
        library.espeak_SetParameter(_RATE, words_per_minute, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        data = text.encode()
        library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, _CHARACTERS, 0, _UTF8, None, None)
    wave = np.concatenate(pieces).astype(np.float32)
    return 0.7 * wave / max(1.0, float(np.abs(wave).max())), sampling_rate


@contextmanager
def _open_library() -> Iterator[tuple[ctypes.CDLL, int, list[Any]]]:
    """The library, its sampling rate, and the pieces of sound that it fills.

    Loaded anew each time, which takes half a millisecond: what was said before would be heard in what is said next, and
    its noise is drawn from the clock.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    sampling_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    pieces: list[Any] = []

    def keep(samples: Any, num_samples: int, _events: Any) -> int:
        if num_samples > 0:
            pieces.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0

    callback = _Callback(keep)
    library.espeak_SetSynthCallback(callback)
    try:
        yield library, sampling_rate, pieces
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)
