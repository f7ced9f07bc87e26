"""A training stops at a number that is not finite and says which step brought it, without waiting for the device.

A step's figures are read one step later: a GPU that is asked for them at once stands still until the next step is sent.
Nothing is written before all figures up to there are read.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.data import Batch


class NotFiniteError(ValueError):
    """A loss, gradient or weight that is no number, or infinite; the message says where."""


def find_spoilt(pieces: Sequence[Batch]) -> str | None:
    """What the clips of a batch hold that is not finite, in words.

    They are looked at themselves, since a maximum over a NaN is 0 in some of the kernels that torch chooses among.
    """
    total = sum(len(piece.audio) for piece in pieces)
    bad = {
        side: sum(int((~torch.isfinite(getattr(piece, side)).flatten(1).all(1)).sum()) for piece in pieces)
        for side in ("audio", "video")
    }
    told = [f"{side} of {count} of its {total} clips is not finite" for side, count in bad.items() if count]
    return f"{' and '.join(told)}: recompute the features" if told else None


@dataclass(frozen=True)
class Figures:
    """What one step computed, on its way from the device."""

    step: int
    where: str
    learning_rate: float
    values: Tensor
    """[3] loss, norm of the gradients before clipping, norm of the weights after the step; ready once `copied` is."""
    copied: torch.cuda.Event | None
    scales_gradients: bool
    """In fp16 gradients overflow now and then, and its scaler leaves out such a step."""

    def read(self) -> tuple[float, float]:
        """(loss, norm of the gradients)

        Raises:
            NotFiniteError: names the step, the value, and what to do.
        """
        if self.copied is not None:
            self.copied.synchronize()
        loss, of_gradients, of_weights = self.values.tolist()
        if not math.isfinite(loss) or not (self.scales_gradients or math.isfinite(of_gradients)):
            told = "" if self.scales_gradients else f", the norm of the gradients {of_gradients}"
            raise NotFiniteError(
                f"{self.where}: the loss is {loss}{told}; its clips are finite: lower train.learning_rate"
            )
        if not math.isfinite(of_weights):
            raise NotFiniteError(
                f"{self.where}: the norm of the weights is {of_weights} after a step at learning rate "
                f"{self.learning_rate:g}: lower train.learning_rate, or set train.clip_gradient_norm"
            )
        return loss, of_gradients


def send_figures(
    step: int,
    where: str,
    learning_rate: float,
    loss: Tensor,
    gradient_norm: Tensor,
    weights: Iterable[Tensor],
    scales_gradients: bool,
) -> Figures:
    """Begin to copy the figures of a step that has been sent to the device."""
    norm = torch.nn.utils.get_total_norm([weight.detach() for weight in weights])
    on_device = torch.stack([loss.float(), gradient_norm.float(), norm.float()]).detach()
    values = on_device.to("cpu", non_blocking=True)
    copied = None
    if on_device.is_cuda:
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()
    return Figures(step, where, learning_rate, values, copied, scales_gradients)
