"""What is heard beside the voice: music, a frying pan, silence; waveforms float32 [N] at `SAMPLING_RATE`."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

SAMPLING_RATE = 16_000
PAUSE_MS = 300
"""Between two sentences of a step: shorter than the 700 ms that the demo bridges."""
MIN_NARRATION_MS, MAX_NARRATION_MS = 5200, 7000

Waveform = NDArray[np.float32]


def num_samples(duration_ms: int) -> int:
    """Samples in `duration_ms`."""
    return duration_ms * SAMPLING_RATE // 1000


def silence(duration_ms: int) -> Waveform:
    """Digital silence."""
    return np.zeros(num_samples(duration_ms), np.float32)


def music(duration_ms: int, rng: np.random.Generator) -> Waveform:
    """Four chords, one a second, with a soft drum; key and order vary with `rng`. The segmenter calls it music."""
    key = 220 * 2 ** (int(rng.integers(-3, 4)) / 12)
    chords = [(0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14)]
    order = rng.permutation(4)
    second = SAMPLING_RATE
    t = np.arange(second) / SAMPLING_RATE
    bars = [_play_chord(chords[k], key, t) + _beat_drum(second, rng) for k in order]
    wave = np.tile(np.concatenate(bars), duration_ms // 4000 + 1)[: num_samples(duration_ms)]
    soft: Waveform = (0.25 * wave / np.abs(wave).max()).astype(np.float32)
    return soft


def _play_chord(chord: tuple[int, ...], key: float, t: NDArray[np.float64]) -> NDArray[np.float64]:
    harmonics = ((1, 1.0), (2, 0.5), (3, 0.25), (4, 0.12))
    notes = [
        level * np.sin(2 * np.pi * key * 2 ** (note / 12) * harmonic * t)
        for note in chord
        for harmonic, level in harmonics
    ]
    return np.asarray(np.sum(notes, axis=0) * np.exp(-1.2 * t))


def _beat_drum(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    wave = np.zeros(length)
    hit = SAMPLING_RATE // 20
    for start in range(0, length, SAMPLING_RATE // 4):
        wave[start : start + hit] += 0.8 * rng.standard_normal(hit) * np.exp(-np.arange(hit) / 300)
    return wave


def sizzle(duration_ms: int, rng: np.random.Generator) -> Waveform:
    """A frying pan: differenced white noise with random bursts. The segmenter calls it noise."""
    length = num_samples(duration_ms)
    noise = np.diff(rng.standard_normal(length), prepend=0)
    level = 0.4 + 0.6 * (rng.random(length // 600 + 1) > 0.6)
    return (0.06 * noise * np.repeat(level, 600)[:length]).astype(np.float32)


def soft_noise(duration_ms: int, rng: np.random.Generator) -> Waveform:
    """A quiet kitchen behind the voice: low-passed noise about 24 dB under it."""
    wave = lfilter([1], [1, -0.95], rng.standard_normal(num_samples(duration_ms)))
    quiet: Waveform = (0.008 * wave / wave.std()).astype(np.float32)
    return quiet


def make_gap(kind: str, duration_ms: int, rng: np.random.Generator) -> Waveform:
    """What is heard between two steps: music, noise or silence."""
    if kind == "music":
        return music(duration_ms, rng)
    if kind == "noise":
        return sizzle(duration_ms, rng)
    return silence(duration_ms)
