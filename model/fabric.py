"""Where a training runs and what it logs to: one process or several, by Lightning Fabric."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from torch import nn

from datasets.devices import has_gpu
from model.avlnet import AVLNet
from model.settings import TrainSettings

LOG_FOLDER = "tensorboard"
logger = logging.getLogger(__name__)


def make_fabric(settings: TrainSettings, folder: Path) -> Fabric:
    """One process, or as many as torchrun started."""
    precision: Any = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[settings.precision]
    local_size, num_nodes = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    strategy = "ddp" if local_size * num_nodes > 1 else "auto"
    loggers: list[Any] = [TensorBoardLogger(folder, name=LOG_FOLDER, version="", default_hp_metric=False)]
    if settings.wandb_project is not None:
        from lightning.pytorch.loggers import WandbLogger

        try:
            loggers.append(WandbLogger(project=settings.wandb_project, save_dir=str(folder)))
        except ModuleNotFoundError as error:
            raise ValueError(
                "train.wandb_project needs the package wandb: pip install wandb, or leave it out"
            ) from error
    is_useless = settings.device == "auto" and torch.cuda.device_count() > 0 and not has_gpu(torch.cuda)
    fabric = Fabric(
        accelerator="cpu" if is_useless else settings.device,
        devices=local_size,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=precision,
        loggers=loggers,
    )
    fabric.launch()
    return fabric


def synchronise(model: AVLNet, settings: TrainSettings, fabric: Fabric) -> AVLNet:
    """Batch norm over all processes, where torch can: its synchronised layer is for GPUs only."""
    if fabric.world_size == 1 or settings.recipe == "upstream":
        return model
    if fabric.device.type == "cuda":
        synchronised: AVLNet = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return synchronised
    logger.warning("batch norm is not synchronised on a CPU: each process normalises by its own share of the batch")
    return model
