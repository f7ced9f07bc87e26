"""What a clip looks and sounds like, in figures that need no model; rules over them are other people's.

Pictures are the 1 fps frames that the 2D features see, sound is the 16 kHz waveform of the log-mel features. Nothing
here finds, counts or compares people.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from features.frames.decoded import DecodedClip

CODE_VERSION = 1
"""Part of the recipe: raise it when the code changes what comes out."""
DARK_LEVEL = 32
"""Of 255: no pixel of a dark frame, but for 2 % of them, is brighter."""
BAR_LEVEL = 24
"""A row or column at the edge that is never brighter is a bar."""
CHANGED_LEVEL = 10
"""A pixel that differs by more has changed; coding noise of a still differs by less."""
LEAST_CHANGED = 0.005
"""Share of pixels: below it nothing moved."""
CLIPPED_LEVEL = 0.99
SILENCE_DB = -120.0
_STEP = 2
_SAMPLES_PER_FRAME = 400

Float32 = npt.NDArray[np.float32]
Gray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Qualities:
    """Figures of one clip, columns of `qualities`; shares from 0 to 1, None where there is nothing to take them of."""

    still_share: float | None
    """Of the steps from second to second: how many change almost no pixel. High in stills and slide shows."""
    dark_share: float
    """Of the frames: how many are black or nearly so."""
    border_share: float
    """Of the area: black bars at the edges through all of the clip."""
    level_db: float | None
    """Mean power of the sound, dB below full scale."""
    clipped_share: float | None
    """Of the samples: at full scale."""
    floor_db: float | None
    """The quiet tenth of the sound against its loud twentieth, dB: near 0 where music or noise fills the pauses."""


def measure_clip(pieces: Iterable[DecodedClip]) -> Qualities:
    """The figures of a clip, from its pieces in order; memory does not grow with the clip but for its sound."""
    last: Gray | None = None
    brightest: Gray | None = None
    num_frames = num_dark = num_still = 0
    sound: list[Float32] = []
    for piece in pieces:
        sound.append(piece.waveform)
        for frame in piece.frames_2d:
            gray = frame[::_STEP, ::_STEP].mean(axis=2, dtype=np.float32)
            num_frames += 1
            num_dark += bool(np.quantile(gray, 0.98) < DARK_LEVEL)
            num_still += last is not None and bool((np.abs(gray - last) > CHANGED_LEVEL).mean() < LEAST_CHANGED)
            brightest = gray if brightest is None else np.maximum(brightest, gray)
            last = gray
    if brightest is None:
        raise ValueError("a clip has at least one frame")
    return Qualities(
        still_share=num_still / (num_frames - 1) if num_frames > 1 else None,
        dark_share=num_dark / num_frames,
        border_share=_measure_border(brightest),
        **_measure_sound(np.concatenate(sound)),
    )


def _measure_border(brightest: Gray) -> float:
    """Share of the area outside of the smallest box that holds everything that is ever bright."""
    box = 1.0
    for axis in (0, 1):
        lit = np.flatnonzero(brightest.max(axis=1 - axis) > BAR_LEVEL)
        box *= (lit[-1] - lit[0] + 1) / brightest.shape[axis] if lit.size else 0.0
    return float(1 - box)


def _measure_sound(waveform: Float32) -> dict[str, float | None]:
    """The three figures of sound; None for a clip without."""
    if not len(waveform):
        return {"level_db": None, "clipped_share": None, "floor_db": None}
    power = np.square(waveform, dtype=np.float64)
    whole = power[: len(power) // _SAMPLES_PER_FRAME * _SAMPLES_PER_FRAME].reshape(-1, _SAMPLES_PER_FRAME)
    levels = to_db(whole.mean(axis=1)) if len(whole) else np.zeros(1)
    quiet, loud = np.quantile(levels, [0.1, 0.95])
    return {
        "level_db": float(to_db(power.mean())),
        "clipped_share": float((np.abs(waveform) >= CLIPPED_LEVEL).mean()),
        "floor_db": float(quiet - loud),
    }


def to_db(power: Any) -> Any:
    """Power relative to full scale in dB, silence as SILENCE_DB."""
    return 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))


def share_labels(
    segments: Sequence[tuple[str, int, int]], start_ms: int, end_ms: int, labels: Sequence[str]
) -> dict[str, float]:
    """How much of [start_ms, end_ms) has each label.

    Args:
        segments: (label, start_ms, end_ms) of a video.
        start_ms: of the clip.
        end_ms: of the clip, after its start.
        labels: those asked for.
    """
    inside = ((label, min(end, end_ms) - max(start, start_ms)) for label, start, end in segments)
    lengths = dict.fromkeys(labels, 0)
    for label, length_ms in inside:
        if label in lengths and length_ms > 0:
            lengths[label] += length_ms
    return {label: length_ms / (end_ms - start_ms) for label, length_ms in lengths.items()}
