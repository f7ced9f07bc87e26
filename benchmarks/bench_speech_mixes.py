"""Sound for bench_speech.py: recordings of ../shared/media and 40 minutes of speech over music and noise from them."""

from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray
from scipy.io import wavfile

from extract.media import SAMPLING_RATE, read_audio

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "media"
NAMES = ["audio/ina_musanmix.mp3", "audio/ina_lamartine.wav", "synth/synth_mei.mp4", "synth/synth_kokoro.mp4"]
MEDIA = [FOLDER / name for name in NAMES]
MIX_SECONDS = 350
LEVELS_DB = (20, 12, 6, 0, -6)
Sound = NDArray[np.float32]


def write_mixes(directory: Path) -> list[Path]:
    """Write each mix as 16-bit wav; returns the paths."""
    paths = []
    for name, sound in make_mixes().items():
        path = directory / f"{name}.wav"
        peak = max(1.0, float(np.abs(sound).max()))
        wavfile.write(path, SAMPLING_RATE, (sound / peak * 32767).astype(np.int16))
        paths.append(path)
    return paths


def make_mixes() -> dict[str, Sound]:
    """Speech of two voices over music, noise, chords and pink noise at falling levels; faster, slower, telephone."""
    musan, lamartine, mei, kokoro = (read_audio(path) for path in MEDIA)
    music, noise = musan[: 22 * SAMPLING_RATE], musan[30 * SAMPLING_RATE : 52 * SAMPLING_RATE]
    all_of_it = np.concatenate([musan, lamartine, mei, kokoro, lamartine, musan[::-1]])
    swell = 0.6 + 0.4 * np.sin(np.arange(MIX_SECONDS * SAMPLING_RATE) / SAMPLING_RATE / 3)
    return {
        "mei_music": lay_over(mei, music),
        "mei_noise": lay_over(mei, noise),
        "kokoro_chords": lay_over(kokoro, make_chords()),
        "kokoro_pink": lay_over(kokoro, make_pink_noise()),
        "mei_swelling": (fill(mei) * swell + 0.05 * fill(music)).astype(np.float32),
        "faster": fill(resample(all_of_it, 9, 10)),
        "slower": fill(resample(all_of_it, 11, 10)),
        "telephone": fill(resample(resample(all_of_it, 1, 2), 2, 1)),
    }


def fill(sound: Sound) -> Sound:
    """Repeat or cut to MIX_SECONDS."""
    return np.resize(sound, MIX_SECONDS * SAMPLING_RATE)


def lay_over(speech: Sound, background: Sound) -> Sound:
    """Speech over a background at each of LEVELS_DB in turn."""
    speech, background = fill(speech), fill(background)
    loudness = np.sqrt(np.mean(speech[np.abs(speech) > 1e-3] ** 2) / np.mean(background**2))
    levels = np.repeat(10.0 ** (-np.array(LEVELS_DB) / 20), len(speech) // len(LEVELS_DB))
    return (speech + background * loudness * levels).astype(np.float32)


def resample(sound: Sound, up: int, down: int) -> Sound:
    """Change speed and pitch (or drop the treble, there and back)."""
    return np.asarray(scipy.signal.resample_poly(sound, up, down), np.float32)


def make_chords() -> Sound:
    """Decaying chords of three tones, one each 2 s."""
    random = np.random.default_rng(5)
    seconds = np.arange(2 * SAMPLING_RATE) / SAMPLING_RATE
    pitches = 440 * 2 ** ((random.choice([48, 52, 55, 60, 64, 67, 72], (MIX_SECONDS // 2, 3)) - 69) / 12)
    chords = [np.exp(-seconds) * np.sin(2 * np.pi * chord[:, None] * seconds).sum(axis=0) for chord in pitches]
    return (0.1 * np.concatenate(chords)).astype(np.float32)


def make_pink_noise() -> Sound:
    """Noise of equal power in each octave."""
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(MIX_SECONDS * SAMPLING_RATE))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    sound = np.fft.irfft(spectrum)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)
