"""What decoding a clip gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DecodedClip:
    """What one pass over a clip gives, or over a piece of it."""

    frames_2d: UInt8
    """[T2, H, W, 3] RGB, 1 per second, short side 224, no crop."""
    frames_3d: UInt8
    """[T3, 112, 112, 3] RGB, 24 per second, short side 112, centre crop."""
    waveform: Float32
    """[N] mono, 16 kHz, in [-1, 1); empty without audio."""
    num_frames: int = 0
    """Frames that the decoder gave between the seek point and the clip's end; 0 in all pieces but the last."""
    num_damaged: int = 0
    """Packets and frames among them that were rejected or guessed."""
    missing_picture_ms: float = 0.0
    """For how long of the clip there is no picture; as the next, 0 in all pieces but the last."""
    missing_sound_ms: float = 0.0
    """For how long of the clip the sound track has nothing."""
    sound_note: str | None = None
    """What people should know of the sound; None of ordinary sound."""

    @property
    def has_audio(self) -> bool:
        """False for a clip without sound."""
        return len(self.waveform) > 0


def join_pieces(pieces: Sequence[DecodedClip]) -> DecodedClip:
    """The pieces of one clip, in order, as one."""
    if len(pieces) == 1:
        return pieces[0]
    return DecodedClip(
        frames_2d=np.concatenate([piece.frames_2d for piece in pieces]),
        frames_3d=np.concatenate([piece.frames_3d for piece in pieces]),
        waveform=np.concatenate([piece.waveform for piece in pieces]),
        num_frames=sum(piece.num_frames for piece in pieces),
        num_damaged=sum(piece.num_damaged for piece in pieces),
        missing_picture_ms=sum(piece.missing_picture_ms for piece in pieces),
        missing_sound_ms=sum(piece.missing_sound_ms for piece in pieces),
        sound_note=pieces[-1].sound_note,
    )
