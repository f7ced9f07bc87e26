"""What decoding a clip gives, and the error of a clip that gives nothing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


class ClipError(Exception):
    """A clip that gives no features.

    Args:
        reason: a code of `datasets.schemas.FEATURE_REASONS`.
        detail: what was found, for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class DecodedClip:
    """What one pass over a clip gives."""

    frames_2d: UInt8
    """[T2, H, W, 3] RGB, 1 per second, short side 224, no crop."""
    frames_3d: UInt8
    """[T3, 112, 112, 3] RGB, 24 per second, short side 112, centre crop."""
    waveform: Float32
    """[N] mono, 16 kHz, in [-1, 1); empty without audio."""
    has_audio: bool
    num_frames: int
    """Frames that the decoder gave between the seek point and the clip's end."""
    num_damaged: int
    """Packets and frames among them that were rejected or guessed."""


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the short side at `short_side`; the long side is truncated, as the reference does."""
    if height >= width:
        return short_side, int(height * short_side / width)
    return int(width * short_side / height), short_side
