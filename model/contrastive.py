"""The gradient of one contrastive batch, in pieces that fit in memory and over several processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from model.data import Batch
from model.loss import mms_loss

Embeddings = tuple[Tensor, Tensor]


def backward_contrastive(
    fabric: Fabric, model: nn.Module, pieces: Sequence[Batch], recompute: bool, log_scale: Tensor | None = None
) -> Tensor:
    """Add the gradient of the loss over all clips of all pieces and processes to the parameters.

    Every clip is a negative of every other, whichever piece or process it is in.

    Args:
        fabric: where the model runs.
        model: as set up by `fabric`.
        pieces: the clips of this process.
        recompute: embed the clips of several pieces twice, first without a graph (cached embeddings), so that memory
            is that of one piece; else the graph of the whole batch is kept, and there is one forward pass.
        log_scale: the logarithm of a factor on the scores, a parameter that gets its gradient too.

    Returns:
        The loss over the whole batch, the same in every process.
    """
    if len(pieces) == 1 or not recompute:
        embeddings = [_embed(fabric, model, piece) for piece in pieces]
        loss, gradients = _loss_and_gradients(fabric, embeddings, log_scale)
        outputs = [tensor for pair in embeddings for tensor in pair]
        _backward(fabric, outputs, [tensor for pair in gradients for tensor in pair])
        return loss
    with torch.no_grad(), _statistics_untouched(model):
        embeddings = [_embed(fabric, model, piece) for piece in pieces]
    loss, gradients = _loss_and_gradients(fabric, embeddings, log_scale)
    for i, (piece, gradient) in enumerate(zip(pieces, gradients, strict=True)):
        with fabric.no_backward_sync(model, enabled=i < len(pieces) - 1):  # type: ignore[arg-type]
            _backward(fabric, _embed(fabric, model, piece), gradient)
    return loss


def _embed(fabric: Fabric, model: nn.Module, piece: Batch) -> Embeddings:
    audio, video = fabric.to_device((piece.audio, piece.video))
    audio, video = model(audio, piece.num_frames.numpy(), video)
    return audio.float(), video.float()


def _backward(fabric: Fabric, outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    # Through one scalar, since Fabric sees to DDP and precision in its own `backward`.
    products = [torch.sum(output * gradient) for output, gradient in zip(outputs, gradients, strict=True)]
    fabric.backward(torch.stack(products).sum())


def _loss_and_gradients(
    fabric: Fabric, embeddings: Sequence[Embeddings], log_scale: Tensor | None
) -> tuple[Tensor, list[Embeddings]]:
    """Loss over the gathered batch, and its gradient with respect to each piece's embeddings."""
    sizes = [len(audio) for audio, _ in embeddings]
    own = [torch.cat(side).detach().requires_grad_() for side in zip(*embeddings, strict=True)]
    sides = own
    if fabric.world_size > 1:  # those of all processes in rank order; only this process's carry a gradient
        gathered: list[list[Tensor]] = [list(fabric.all_gather(side.detach())) for side in own]
        for parts, side in zip(gathered, own, strict=True):
            parts[fabric.global_rank] = side
        sides = [torch.cat(parts) for parts in gathered]
    audio, video = sides
    scores = audio @ video.T
    loss = mms_loss(scores if log_scale is None else scores * log_scale.exp())
    gradients = torch.autograd.grad(loss, own if log_scale is None else [*own, log_scale])
    if log_scale is not None:
        log_scale.grad = gradients[2]
    # DDP averages over processes what has to be added up.
    halves = (torch.split(gradient * fabric.world_size, sizes) for gradient in gradients[:2])
    return loss.detach(), list(zip(*halves, strict=True))


@contextmanager
def _statistics_untouched(model: nn.Module) -> Iterator[None]:
    """Batch norm as in train mode, but without moving its running statistics: the second pass does that."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    training = [layer for layer in layers if layer.training]
    for layer in training:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in training:
            layer.track_running_stats = True
