"""The segmenter's front end: log energy and log mel bands of 25 ms windows every 10 ms.

Written anew from the definition of inaSpeechSegmenter's front end (reference/speech.md): pre-emphasis within each
window, a symmetric Hann window, a 512-point power spectrum, 24 triangles of height 2 / width, equally spaced on the
mel scale from 100 Hz to 8 kHz. Samples come in chunks; the result is the same as over the whole signal at once.
"""

import mmap
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse

SAMPLING_RATE = 16000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
HANN_WINDOW = np.hanning(WINDOW_SAMPLES)
FFT_SAMPLES = 512
PRE_EMPHASIS = np.float32(0.97)
NUM_BANDS = 24
KEPT_BANDS = 21
"""The lowest bands are all that the CNN sees."""
LOW_HZ, HIGH_HZ = 100.0, 8000.0
BLOCK_FRAMES = 256
"""Windows transformed at a time: small enough for the cache, whatever the chunks are."""


@dataclass(frozen=True)
class SpeechFeatures:
    """Front-end features of one file: 84 bytes of bands (in a file) and 4 of energy for each 10 ms."""

    log_mel: NDArray[np.float32]
    """[num_frames, 21]; -inf where the signal is digital silence."""
    log_energy: NDArray[np.float32]
    """[num_frames]"""
    num_samples: int
    lowest_log_mel: float
    """The lowest value of all 24 bands: what files under 68 frames are filled up with."""
    pages: mmap.mmap | None = None
    """Where `log_mel` lies in a nameless temporary file, which goes when these features go."""

    def release_memory(self) -> None:
        """Leave `log_mel` to its file until it is read again: 6 hours of it are 181 MB."""
        if self.pages is not None:
            self.pages.madvise(mmap.MADV_DONTNEED)


def compute_features(chunks: Iterable[NDArray[np.float32]]) -> SpeechFeatures:
    """Compute the features of a mono 16 kHz signal in [-1, 1) that arrives in chunks of any length."""
    energies, num_samples, lowest = bytearray(), 0, np.inf
    rest = np.zeros(0, np.float32)
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            num_samples += len(chunk)
            signal = np.concatenate([rest, chunk])
            num_frames = max(0, (len(signal) - WINDOW_SAMPLES) // HOP_SAMPLES + 1)
            for start in range(0, num_frames, BLOCK_FRAMES):
                windows = np.lib.stride_tricks.sliding_window_view(signal[start * HOP_SAMPLES :], WINDOW_SAMPLES)
                log_mel, energy = _transform(windows[::HOP_SAMPLES][:BLOCK_FRAMES])
                file.write(log_mel[:, :KEPT_BANDS].tobytes())
                energies += energy.tobytes()
                lowest = min(lowest, float(log_mel.min()))
            rest = signal[num_frames * HOP_SAMPLES :]
        file.flush()
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if energies else None
    log_mels = np.frombuffer(pages or b"", np.float32).reshape(-1, KEPT_BANDS)
    return SpeechFeatures(log_mels, np.frombuffer(energies, np.float32), num_samples, lowest, pages)


def _transform(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Windows [n, 400] to log mel [n, 24] and log energy [n]."""
    import scipy.fft  # here, since every command reads the settings of this stage

    emphasised = windows - PRE_EMPHASIS * np.concatenate([windows[:, :1], windows[:, :-1]], axis=1)
    with np.errstate(divide="ignore"):
        energy = np.log(np.sum(emphasised**2, axis=1))
        spectrum = scipy.fft.rfft(emphasised * HANN_WINDOW, FFT_SAMPLES, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        log_mel = np.log((_mel_filters() @ power.T).T)
    return log_mel, energy


@cache
def _mel_filters() -> "scipy.sparse.csr_array":
    """[24, 257] triangles: rise from the bin above the low edge, fall up to the bin before the last below the high.

    Sparse: a dense product would go to numpy's BLAS, whose threads on other cores burn more than this whole front end.
    """
    import scipy.sparse

    mel_edges = np.linspace(_to_mel(LOW_HZ), _to_mel(HIGH_HZ), NUM_BANDS + 2)
    edges_hz = 700.0 * (10.0 ** (mel_edges / 2595.0) - 1.0)
    bin_hz = np.arange(FFT_SAMPLES // 2 + 1) * SAMPLING_RATE / FFT_SAMPLES
    filters = np.zeros((len(bin_hz), NUM_BANDS), np.float32)
    for index, (low, centre, high) in enumerate(zip(edges_hz, edges_hz[1:], edges_hz[2:], strict=False)):
        height = 2.0 / (high - low)
        first, top, last = (int(edge * FFT_SAMPLES / SAMPLING_RATE) + 1 for edge in (low, centre, high))
        rising, falling = slice(first, top), slice(top, last - 1)
        filters[rising, index] = height * (bin_hz[rising] - low) / (centre - low)
        filters[falling, index] = height * (high - bin_hz[falling]) / (high - centre)
    return scipy.sparse.csr_array(filters.T)


def _to_mel(hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hz / 700.0))
