"""How the channels of a sound track become one: mixed as ffmpeg mixes them, or one of them taken where they cancel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

MEASURED_FRAMES = 4
"""Every fourth frame says enough of a second of sound."""
CANCELLED_SHARE = 0.01
"""Of two equal channels' energy: their sum has less of it than this only when one is the other turned upside down."""
MOST_PLANES = 7
"""PyAV 18 takes what lies behind the eighth plane of a frame for a ninth, and reads it."""
QUIET = 1e-7
"""Mean square (-70 dB) below which channels say nothing: pauses, and what codecs leave in them."""


def cancelled_channel(frames: Sequence[Any], last: int | None) -> int | None:
    """The channel to hear alone, because their sum would lose nearly all of the sound; None where they can be mixed.

    Args:
        frames: decoded frames that follow one another.
        last: the answer for the frames before, which a pause keeps.
    """
    if not 2 <= frames[0].layout.nb_channels <= MOST_PLANES or frames[0].format.name not in _FULL_SCALES:
        return None
    parts = []
    for frame in frames[::MEASURED_FRAMES]:
        part = frame.to_ndarray().astype(np.float64)
        if not frame.format.is_planar:
            part = part.reshape(-1, frame.layout.nb_channels).T
        scale = _FULL_SCALES[frame.format.name]
        parts.append((part - 128 if scale == 128 else part) / scale)
    samples = np.concatenate(parts, axis=1)  # [channels, samples] in [-1, 1)
    energies = np.mean(samples**2, axis=1)
    if energies.max() < QUIET:
        return last
    # Twice the energies for equal channels, once for unlike ones or a lone one, nothing for one and its negative.
    summed = np.mean(samples.sum(axis=0) ** 2)
    if not summed < 2 * CANCELLED_SHARE * energies.sum():
        return None
    return int(energies.argmax()) if last is None else last


_FULL_SCALES = {"u8": 128, "s16": 1 << 15, "s32": 1 << 31, "flt": 1, "dbl": 1}
_FULL_SCALES |= {f"{name}p": scale for name, scale in _FULL_SCALES.items()}


def mixing_filters(layout: str, num_channels: int, channel: int | None) -> list[str]:
    """What stands before libswresample, which mixes every layout that says where its channels are.

    Args:
        layout: as libavutil names it.
        num_channels: of the layout.
        channel: the one to hear alone, if one is.
    """
    if layout.startswith("ambisonic"):
        channel = 0  # the one that hears every direction alike
    if channel is not None:
        return [f"pan=mono|c0=c{channel}"]
    if layout == f"{num_channels} channels":
        return ["pan=mono|c0<" + "+".join(f"c{number}" for number in range(num_channels))]
    return []
