"""What goes into a network, what comes out, on what terms; known to those that hold torch and to those that do not."""

from dataclasses import dataclass

import numpy as np

from features.encoders.engines import UInt8
from features.frames.filters import SHORT_SIDE_2D, SIDE_3D

NOT_STATED = "not stated"
"""In place of a licence that nobody names."""


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """What goes into a network and what comes out, and the licence of its weights."""

    dim: int
    num_frames: int
    """Frames of a window: 1 for a 2D network, 0 for a network of sound."""
    crop: int | None = None
    """Side of the centre square of a frame that a network of fixed input size sees; the whole frame when not given."""
    license: str | None = NOT_STATED
    """None for weights that were trained on nothing: they are nobody's."""

    @property
    def black_window(self) -> UInt8:
        """One window, [1, H, W, 3] in 2D, [1, T, H, W, 3] in 3D."""
        side = SIDE_3D if self.num_frames > 1 else SHORT_SIDE_2D
        return np.zeros((1, *([self.num_frames] if self.num_frames > 1 else []), side, side, 3), np.uint8)
