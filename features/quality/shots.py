"""Cuts between shots, by TransNet V2 on twelve small frames a second.

Frames are every second one of those for the 3D features, so that nothing is decoded or scaled for it, and half the
work of all 24. On pans over photographs, joined at known times, it found 36 of 37 cuts and 22 of 23 dissolves of half
a second, and nothing else; at eight frames a second 25 of 25 cuts, but 12 of 19 dissolves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from features.frames.decoded import DecodedClip, UInt8
from features.frames.filters import FPS_3D

_EVERY = 2
_FPS = FPS_3D / _EVERY
_MOST_FRAMES = 100
"""At once; TransNet V2 was trained on so many."""
_MARGIN = 5
"""Frames that two windows share at each side, of which only the inner one's word counts."""
_CHANCE = 0.5


class ShotCuts:
    """The cuts of a clip."""

    SHAPE = (1, -1, 27, 48, 3)

    def __init__(self, network: Callable[[UInt8], list[npt.NDArray[np.float32]]]) -> None:
        self._network = network
        self._frames: list[UInt8] = []
        self._num_seen = 0

    def add(self, piece: DecodedClip) -> None:
        """Keep small frames of a piece."""
        chosen = piece.frames_3d[-self._num_seen % _EVERY :: _EVERY]
        self._num_seen += len(piece.frames_3d)
        self._frames.append(shrink(chosen))

    def columns(self) -> dict[str, float | None]:
        """Cuts a minute, and how much of the time is the longest shot."""
        frames = np.concatenate(self._frames)
        if not len(frames):
            return {"cuts_per_minute": None, "longest_shot_share": None}
        cuts = find_cuts(self.chances(frames))
        shots = np.diff([0, *cuts, len(frames)])
        return {
            "cuts_per_minute": 60 * _FPS * len(cuts) / len(frames),
            "longest_shot_share": float(shots.max() / len(frames)),
        }

    def chances(self, frames: UInt8) -> npt.NDArray[np.float32]:
        """Chance that a shot ends at each of the frames [T, 27, 48, 3]; [T]."""
        parts = []
        step = _MOST_FRAMES - 2 * _MARGIN
        for start in range(0, max(1, len(frames) - 2 * _MARGIN), step):
            found = self._network(frames[None, start : start + _MOST_FRAMES])[0][0]
            is_last = start + _MOST_FRAMES >= len(frames)
            parts.append(found[_MARGIN if start else 0 : None if is_last else _MARGIN + step])
            if is_last:
                break
        return np.concatenate(parts)


def shrink(frames: UInt8) -> UInt8:
    """Means of 4 x 2 pixels: [T, 112, 112, 3] -> [T, 27, 48, 3], squeezed as wide pictures are for TransNet V2."""
    inner: Any = frames[:, 2:110, 8:104].reshape(len(frames), 27, 4, 48, 2, 3)
    return np.asarray(inner.mean((2, 4)).round(), np.uint8)


def find_cuts(chances: npt.NDArray[np.float32]) -> list[int]:
    """Index of the first frame of every shot but the first: a run of likely frames is one cut, after its likeliest."""
    likely = np.flatnonzero(chances > _CHANCE)
    runs = np.split(likely, np.flatnonzero(np.diff(likely) > 1) + 1) if len(likely) else []
    peaks = [int(run[np.argmax(chances[run])]) + 1 for run in runs]
    return [peak for peak in peaks if peak < len(chances)]
