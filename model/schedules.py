"""The learning rate of each step, by torch's own schedulers."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, SequentialLR

from model.settings import TrainSettings


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
