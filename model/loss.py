"""The masked margin softmax loss."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mms_loss(scores: Tensor, margin: float = 0.001) -> Tensor:
    """Softmax loss over rows plus over columns, with `margin` taken from the scores of the pairs.

    Args:
        scores: [B, B], the pairs on the diagonal; every other pair is a negative.
        margin: 0.001 in the original, which never changes it.

    Returns:
        A scalar: the two mean losses added.

    Raises:
        ValueError: scores that are not a square matrix.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"scores must be [B, B], got {list(scores.shape)}")
    scores = scores - margin * torch.eye(len(scores), dtype=scores.dtype, device=scores.device)
    targets = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores, targets) + F.cross_entropy(scores.T, targets)
