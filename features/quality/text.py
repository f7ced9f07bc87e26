"""How much of the picture is text, by PP-OCR's detector on one frame a second; what is written is not read."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from features.frames.decoded import DecodedClip, UInt8

Float32 = npt.NDArray[np.float32]

_CHANCE = 0.3
_LEAST_AREA = 0.002
"""Share of the picture: less is a stray pixel or a label on a jar. A line of ten letters has three times as much."""
_MULTIPLE = 32


class TextArea:
    """The text of a clip."""

    SHAPE = (1, 3, -1, -1)

    def __init__(self, network: Callable[[Float32], list[Float32]]) -> None:
        self._network = network
        self._areas: list[float] = []

    def add(self, piece: DecodedClip) -> None:
        """Find the text of a piece's frames."""
        self._areas += [self.area(frame) for frame in piece.frames_2d]

    def columns(self) -> dict[str, float | None]:
        """Of the frames how many show text; share of the picture that is text, mean over frames."""
        if not self._areas:
            return {"text_share": None, "text_area": None}
        areas = np.array(self._areas)
        return {"text_share": float((areas > _LEAST_AREA).mean()), "text_area": float(areas.mean())}

    def area(self, frame: UInt8) -> float:
        """Share of the picture [H, W, 3] that is the inner part of lines of text."""
        high, wide = frame.shape[:2]
        padded = np.zeros((high + -high % _MULTIPLE, wide + -wide % _MULTIPLE, 3), np.float32)
        padded[:high, :wide] = frame / 127.5 - 1
        chances = self._network(padded.transpose(2, 0, 1)[None])[0][0, 0]
        return float((chances[:high, :wide] > _CHANCE).mean())
