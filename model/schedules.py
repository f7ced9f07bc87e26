"""Adam and the learning rate of each step, by torch's own optimiser and schedulers."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, SequentialLR

from model.settings import TrainSettings


def make_optimizer(trained: Iterable[Tensor], settings: TrainSettings, device: torch.device) -> Adam:
    """Adam, in one kernel on a GPU; but for fp16, whose scaler Lightning lets no such optimiser go with clipping."""
    is_fused = device.type == "cuda" and settings.precision != "fp16"
    return Adam(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=is_fused or None)


def take_up(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """A saved state, its moments laid out in memory as the parameters are here: a GPU's training has another layout."""
    optimizer.load_state_dict(state)
    for parameter, held in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            held[name] = torch.empty_like(parameter).copy_(held[name])


def make_scheduler(optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int) -> LRScheduler:
    """Stepped once a step: the warm-up if there is one, then a factor an epoch or a cosine to 0."""
    num_steps = settings.epochs * steps_per_epoch - settings.warmup_steps
    if settings.schedule == "cosine":
        main: LRScheduler = CosineAnnealingLR(optimizer, T_max=max(1, num_steps))
    else:
        main = LambdaLR(optimizer, lambda step: settings.lr_decay ** (step // steps_per_epoch))
    if not settings.warmup_steps:
        return main
    first = LinearLR(optimizer, start_factor=1 / (settings.warmup_steps + 1), total_iters=settings.warmup_steps)
    return SequentialLR(optimizer, [first, main], milestones=[settings.warmup_steps])
