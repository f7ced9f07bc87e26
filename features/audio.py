"""AVLnet's audio front end: log-mel spectrograms, numerically those of its release."""

import functools

import numpy as np
import numpy.typing as npt

SAMPLING_RATE = 16000
NUM_MELS = 40
FFT_SIZE = 400
HOP = 160
MIN_HZ = 20.0
MAX_HZ = 8000.0
PREEMPHASIS = 0.97
FLOOR_DB = 80.0
MIN_POWER = 1e-10
EMPTY_SAMPLES = 200
"""What the reference takes for a file without samples: this many zeros."""
_FRAMES_PER_CHUNK = 4096

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def log_mel(waveform: npt.ArrayLike) -> Float32:
    """Log-mel spectrogram in dB re the waveform's own maximum: mean removed, pre-emphasis, Hamming 400, hop 160.

    The recipe is `audio_to_spectrograms.LoadAudio` of AVLnet without its padding to a target length. Centre padding
    is by reflection, as in the librosa of its day (newer ones pad with zeros: 22 dB off in the first two frames).

    Args:
        waveform: float [N] in [-1, 1), 16 kHz, mono. Empty counts as 200 zeros, as in the reference.

    Returns:
        float32 [40, 1 + N // 160] in [-80, 0] dB; silence gives 0 dB everywhere, the loudest value, as the reference.

    Raises:
        ValueError: not one-dimensional, or with samples that are not finite.
    """
    samples = np.asarray(waveform, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"waveform must have one dimension, got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError(f"waveform must be finite, got {np.count_nonzero(~np.isfinite(samples))} samples that are not")
    if samples.size == 0:
        samples = np.zeros(EMPTY_SAMPLES, np.float32)
    power = _mel_power(samples)  # to decibels in its own memory
    np.log10(np.maximum(power, MIN_POWER, out=power), out=power)
    power *= 10.0
    power -= power.max()
    return np.asarray(np.maximum(power, -FLOOR_DB, out=power), np.float32).T


def _mel_power(samples: Float32) -> Float64:
    """[T, 40] mel power; a chunk of frames at a time, so that memory does not grow with the FFT of a long waveform."""
    import scipy.signal  # here: encoding frames needs none of it
    import scipy.sparse

    mean, last = samples.mean(), len(samples) - 1
    # Symmetric (end points 0.08): the reference passes scipy's function, whose default that was.
    window = np.asarray(scipy.signal.windows.hamming(FFT_SIZE, sym=True), np.float64)
    # Sparse: numpy's BLAS would wake threads on other cores, which then spin and slow the encoders of other clips.
    basis = scipy.sparse.csr_array(mel_basis())
    power = np.empty((1 + len(samples) // HOP, NUM_MELS), np.float64)
    for start in range(0, len(power), _FRAMES_PER_CHUNK):
        rows = power[start : start + _FRAMES_PER_CHUNK]
        first = start * HOP - FFT_SIZE // 2
        # Beyond either end the samples are mirrored at it, as often as it takes.
        indices = np.arange(first, first + (len(rows) - 1) * HOP + FFT_SIZE) % max(1, 2 * last)
        indices = np.minimum(indices, 2 * last - indices)
        before = np.where(indices > 0, samples[indices - 1] - mean, np.float32(0))  # the first has none before it
        emphasised = np.asarray(samples[indices] - mean - np.float32(PREEMPHASIS) * before, np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(emphasised, FFT_SIZE)[::HOP]
        spectrum = np.fft.rfft(frames * window, axis=1)
        rows[:] = (basis @ (spectrum.real**2 + spectrum.imag**2).T).T
    return power


@functools.cache
def mel_basis() -> Float64:
    """[40, 201] triangles on the Slaney mel scale, each divided by its width in Hz, as librosa makes them."""
    fft_hz = np.linspace(0, SAMPLING_RATE / 2, FFT_SIZE // 2 + 1)
    edges, log_from = np.linspace(_hz_to_mel(MIN_HZ), _hz_to_mel(MAX_HZ), NUM_MELS + 2), _LOG_FROM_HZ / _HZ_PER_MEL
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (edges - log_from))
    edges_hz = np.where(edges < log_from, edges * _HZ_PER_MEL, logarithmic)  # the inverse of `_hz_to_mel`
    widths = np.diff(edges_hz)
    ramps = edges_hz[:, None] - fft_hz[None, :]
    triangles = np.minimum(-ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None])
    return np.asarray(np.maximum(triangles, 0) * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None], np.float64)


_HZ_PER_MEL = 200.0 / 3
_LOG_FROM_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(frequency: float) -> float:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    if frequency < _LOG_FROM_HZ:
        return frequency / _HZ_PER_MEL
    return float(_LOG_FROM_HZ / _HZ_PER_MEL + np.log(frequency / _LOG_FROM_HZ) / _LOG_STEP)
