"""A training stops in the step in which a number is not finite, with what was seen."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from model.data import Batch


class NotFiniteError(ValueError):
    """A loss, gradient or weight that is no number, or infinite; the message says where."""


def check_gradients(where: str, loss: float, gradient_norm: float | None, pieces: Sequence[Batch]) -> None:
    """Refuse a loss, norm or clip that is not finite; the norm is None where the precision's own scaler looks after it.

    The clips are looked at themselves, since a maximum over a NaN is 0 in some of the kernels that torch chooses among.

    Raises:
        NotFiniteError: names the values, and the clips of the batch that are not finite themselves.
    """
    total = sum(len(piece.audio) for piece in pieces)
    bad = {
        side: sum(int((~torch.isfinite(getattr(piece, side)).flatten(1).all(1)).sum()) for piece in pieces)
        for side in ("audio", "video")
    }
    if not any(bad.values()) and math.isfinite(loss) and (gradient_norm is None or math.isfinite(gradient_norm)):
        return
    told = " and ".join(f"{side} of {count} of its {total} clips is not finite" for side, count in bad.items() if count)
    advice = f"{told}: recompute the features" if told else "its clips are finite: lower train.learning_rate"
    norm = "" if gradient_norm is None else f", the norm of the gradients {gradient_norm}"
    raise NotFiniteError(f"{where}: the loss is {loss}{norm}; {advice}")


def check_weights(where: str, parameters: Iterable[Tensor], learning_rate: float) -> None:
    """Refuse weights that a step made infinite or no numbers.

    Raises:
        NotFiniteError: tells the learning rate.
    """
    norm = float(torch.nn.utils.get_total_norm(list(parameters)))
    if not math.isfinite(norm):
        raise NotFiniteError(
            f"{where}: the norm of the weights is {norm} after a step at learning rate {learning_rate:g}: "
            "lower train.learning_rate, or set train.clip_gradient_norm"
        )
