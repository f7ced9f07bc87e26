"""Embeddings in a byte a number, as a search page holds them: page and command then find the same."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Index:
    """Quantised embeddings of clips."""

    steps: NDArray[np.int8]
    """[N, D] each row in 255 steps of its own largest number."""
    scales: NDArray[np.float32]
    """[N] what a step of the row is."""

    @classmethod
    def of(cls, embeddings: NDArray[np.float32]) -> "Index":
        """The index of embeddings [N, D]."""
        scales = np.maximum(np.abs(embeddings).max(axis=1), 1e-12) / 127
        return cls(np.rint(embeddings / scales[:, None]).astype(np.int8), scales.astype(np.float32))

    def score(self, query: NDArray[np.float32]) -> NDArray[np.float64]:
        """[N] products of every clip with a query [D]."""
        scores: NDArray[np.float64] = (self.steps.astype(np.float64) @ query.astype(np.float64)) * self.scales
        return scores

    def score_row(self, own: int) -> NDArray[np.float64]:
        """[N] cosines of one clip with all, -inf with itself; sums of integers, hence exact."""
        rows = self.steps.astype(np.float64)
        norms = np.sqrt((rows * rows).sum(axis=1))
        cosines: NDArray[np.float64] = rows @ rows[own] / (norms * norms[own])
        cosines[own] = -np.inf
        return cosines
