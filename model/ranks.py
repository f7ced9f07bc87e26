"""Where each query's match stands, and what is counted from it; without torch, for pages that only show figures."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

DIRECTIONS = ("video_clip_retrieval", "language_retrieval")
"""The paper's names: audio queries for video clips (A→V), and video queries for audio (V→A)."""
ARROWS = dict(zip(DIRECTIONS, ("A→V", "V→A"), strict=True))
RECALL_AT = (1, 5, 10)
T = TypeVar("T")


def both_ways(audio: T, video: T) -> list[tuple[str, T, T]]:
    """(direction, query, gallery) of each of `DIRECTIONS`."""
    return list(zip(DIRECTIONS, (audio, video), (video, audio), strict=True))


@dataclass(frozen=True)
class Ranks:
    """Where each query's match stands among the candidates."""

    better: npt.NDArray[np.int64]
    """[num_queries] candidates with a strictly higher score."""
    tied: npt.NDArray[np.int64]
    """[num_queries] other candidates with the same score."""

    def hits(self, k: int) -> npt.NDArray[np.float64]:
        """[num_queries] chance in [0, 1] that the match is among the first k under a random order of the tied."""
        return np.clip((k - self.better) / (self.tied + 1), 0.0, 1.0)

    def positions(self) -> npt.NDArray[np.float64]:
        """[num_queries] expected rank, counted from 1."""
        return 1 + self.better + self.tied / 2

    def metrics(self) -> dict[str, float]:
        """Recalls as fractions and the median rank."""
        recalls = {f"R@{k}": float(self.hits(k).mean()) for k in RECALL_AT}
        return {**recalls, "MedR": float(np.median(self.positions()))}
