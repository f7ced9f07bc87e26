"""How many faces are seen, and how large, by MediaPipe's BlazeFace on one frame a second.

Counts and areas only: where a face is, and anything by which it could be told from another, is neither kept nor
computed.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from features.frames.decoded import DecodedClip, UInt8

Float32 = npt.NDArray[np.float32]

_SIDE = 256
_ANCHORS = ((16, 2), (8, 6))
"""Cells a side, and boxes that each proposes."""
_CHANCE = 0.6
_SAME = 0.3
"""Boxes that overlap by more of their union are one face."""


class FaceCount:
    """The faces of a clip."""

    SHAPE = (1, _SIDE, _SIDE, 3)

    def __init__(self, network: Callable[[Float32], list[Float32]]) -> None:
        self._network = network
        self._areas: list[list[float]] = []

    def add(self, piece: DecodedClip) -> None:
        """Find the faces of a piece's frames."""
        self._areas += [self.areas(frame) for frame in piece.frames_2d]

    def columns(self) -> dict[str, float | None]:
        """Of the frames how many show a face; faces and share of the picture that is face, means over frames."""
        if not self._areas:
            return {"face_share": None, "num_faces": None, "face_area": None}
        return {
            "face_share": sum(map(bool, self._areas)) / len(self._areas),
            "num_faces": sum(map(len, self._areas)) / len(self._areas),
            "face_area": sum(map(sum, self._areas)) / len(self._areas),
        }

    def areas(self, frame: UInt8) -> list[float]:
        """Share of the picture [H, W, 3] that each face covers."""
        scale = _SIDE / max(frame.shape[:2])
        high, wide = (max(1, round(side * scale)) for side in frame.shape[:2])
        square = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        square[:high, :wide] = np.asarray(Image.fromarray(frame).resize((wide, high), Image.Resampling.BILINEAR))
        boxes, raw = self._network(square[None].astype(np.float32) / 127.5 - 1)
        chances = 1 / (1 + np.exp(-np.clip(raw[0, :, 0], -80, 80)))
        likely = np.flatnonzero(chances > _CHANCE)
        likely = likely[np.argsort(-chances[likely], kind="stable")]
        centres, sizes = boxes[0, likely, :2] / _SIDE + _centres()[likely], boxes[0, likely, 2:4] / _SIDE
        kept = keep_apart(np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1))
        inside = np.clip(kept, 0, [wide / _SIDE, high / _SIDE] * 2)
        areas: list[float] = ((inside[:, 2:] - inside[:, :2]).prod(axis=1) * _SIDE**2 / (high * wide)).tolist()
        return areas


def _centres() -> Float32:
    """Of the cell that each box belongs to, x and y from 0 to 1 [896, 2]."""
    parts = []
    for cells, num_boxes in _ANCHORS:
        middle = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
        parts.append(np.repeat(grid, num_boxes, axis=0))
    return np.concatenate(parts)


def keep_apart(boxes: Float32) -> Float32:
    """Of boxes [N, 4] (left, top, right, bottom), likeliest first, those that no likelier one covers."""
    kept: list[Float32] = []
    for box in boxes:
        size = np.prod(box[2:] - box[:2])
        for other in kept:
            both = np.prod(np.maximum(0, np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])))
            if both > _SAME * (size + np.prod(other[2:] - other[:2]) - both):
                break
        else:
            kept.append(box)
    return np.stack(kept) if kept else np.empty((0, 4), np.float32)
