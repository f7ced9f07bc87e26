"""Train AVLnet on the clips of a split: seeded, resumable, by Lightning Fabric."""

import csv
import io
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from torch import nn

from datasets.files import write_bytes
from datasets.settings import recipe_of
from model.avlnet import AVLNet
from model.checkpoints import check_video_dim, load_avlnet, read_whole, write_whole
from model.contrastive import backward_contrastive
from model.data import Batch, ClipSet
from model.evaluate import mean_recall
from model.memory import has_room_for_graph
from model.pretraining import VideoSet
from model.sampling import clips_per_item, iterate_batches
from model.settings import TrainSettings

MODEL_FILE, RESUME_FILE, HISTORY_FILE, LOG_FOLDER = "avlnet.pth", "resume.pt", "history.csv", "tensorboard"
OnStep = Callable[[int, int, float], None]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv."""

    epoch: int
    loss: float
    """Mean over the epoch's batches."""
    learning_rate: float
    val_recall: float | None
    """Mean of R@1, R@5 and R@10 over both directions on the val clips; None without val clips."""


@dataclass(frozen=True)
class TrainResult:
    """What a training left."""

    checkpoint: Path
    """State dict of the selected epoch."""
    selected_epoch: int
    num_steps: int
    history: tuple[Epoch, ...]


def train(
    train_set: ClipSet | VideoSet,
    val_set: ClipSet | None,
    settings: TrainSettings,
    checkpoint_dir: str | Path,
    on_step: OnStep | None = None,
    fabric: Fabric | None = None,
) -> TrainResult:
    """Train a model, or go on where a killed training of the same settings and clips stopped.

    Args:
        train_set: clips, or videos to draw windows from; the last, incomplete batch of an epoch is left out, as in
            the original.
        val_set: clips that select the epoch; without them the last one is kept.
        settings: hyper-parameters.
        checkpoint_dir: local folder for avlnet.pth, resume.pt, history.csv and tensorboard/.
        on_step: called after each step with (steps done, steps in all, loss), for a progress bar.
        fabric: where to run, and where to log; one process, or those that torchrun started, when not given.

    Raises:
        ValueError: more clips in a batch than in the train split, a checkpoint of other sizes, or a folder that holds
            another training.
    """
    folder = Path(checkpoint_dir)
    run = _Run(train_set, val_set, settings, folder, fabric or _make_fabric(settings, folder))
    run.restore()
    while not run.is_done():
        run.train_epoch(on_step)
    for log in run.fabric.loggers:
        log.finalize("success")
    return run.result()


def _make_fabric(settings: TrainSettings, folder: Path) -> Fabric:
    """One process, or as many as torchrun started."""
    precision: Any = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[settings.precision]
    local_size, num_nodes = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    strategy = "ddp" if local_size * num_nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=settings.device,
        devices=local_size,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=precision,
        loggers=TensorBoardLogger(folder, name=LOG_FOLDER, version="", default_hp_metric=False),
    )
    fabric.launch()
    return fabric


class _Run:
    """The state of one training."""

    def __init__(
        self,
        train_set: ClipSet | VideoSet,
        val_set: ClipSet | None,
        settings: TrainSettings,
        folder: Path,
        fabric: Fabric,
    ) -> None:
        if settings.batch_size > len(train_set):
            raise ValueError(
                f"train.batch_size is {settings.batch_size}, but the train split has {len(train_set)} clips: "
                "no batch can be filled; choose a smaller batch_size"
            )
        share = fabric.world_size * clips_per_item(train_set)
        if settings.batch_size % share:
            raise ValueError(
                f"train.batch_size must be a multiple of {share} (processes times windows a video), "
                f"got {settings.batch_size}"
            )
        self.train_set, self.val_set, self.settings, self.folder, self.fabric = (
            train_set, val_set, settings, folder, fabric,
        )  # fmt: skip
        self.bare_model = model = _synchronise(_first_model(settings, train_set.video_dim), settings, fabric)
        optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=settings.learning_rate)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        self.history: list[Epoch] = []
        self.losses: list[float] = []
        """Of the steps done in the epoch that is not over."""
        self.selected_epoch = -1
        ids = {"train": train_set.clip_ids, "val": val_set.clip_ids if val_set else []}
        self.identity = recipe_of(settings, settings.init_checkpoint, ids)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train_set) // self.settings.batch_size

    def restore(self) -> None:
        """Take up the state that a killed training left, if any."""
        path = self.folder / RESUME_FILE
        if not path.exists():
            return
        state = read_whole(path)
        if state["identity"] != self.identity:
            raise ValueError(f"{self.folder} holds a training of other settings or clips: choose another folder")
        self.bare_model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.losses = state["losses"]
        self.history = [Epoch(**row) for row in state["history"]]
        self.selected_epoch = state["selected_epoch"]

    def is_done(self) -> bool:
        """All epochs done, or none better for `patience` epochs."""
        num_done, patience = len(self.history), self.settings.patience
        is_stale = patience is not None and self._selects() and num_done - 1 - self.selected_epoch >= patience
        return num_done >= self.settings.epochs or (num_done > 0 and is_stale)

    def train_epoch(self, on_step: OnStep | None) -> None:
        """What is left of one pass over the train clips, then validation and checkpoints."""
        epoch, every = len(self.history), self.settings.checkpoint_every_steps
        learning_rate = self.settings.learning_rate * self.settings.lr_decay**epoch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.model.train(self.settings.recipe == "proper")
        place = (self.fabric.global_rank, self.fabric.world_size)
        for pieces in iterate_batches(self.train_set, self.settings, epoch, len(self.losses), *place):
            self.losses.append(self._take_step(pieces))
            num_done = epoch * self.steps_per_epoch + len(self.losses)
            self.fabric.log_dict({"loss": self.losses[-1], "learning_rate": learning_rate}, num_done)
            if num_done % every == 0 and len(self.losses) < self.steps_per_epoch:
                self._write_state()
            if on_step:
                on_step(num_done, self.settings.epochs * self.steps_per_epoch, self.losses[-1])
        self._end_epoch(Epoch(epoch, float(np.mean(self.losses)), learning_rate, self._validate()))

    def _take_step(self, pieces: list[Batch]) -> float:
        self.optimizer.zero_grad()
        has_room = has_room_for_graph(pieces, self.bare_model.widths, self.fabric.device, self.fabric.world_size)
        loss = backward_contrastive(self.fabric, self.model, pieces, recompute=not has_room).item()
        self.optimizer.step()
        return loss

    def _validate(self) -> float | None:
        return mean_recall(self.bare_model, self.val_set) if self._selects() and self.val_set else None

    def _selects(self) -> bool:
        return self.settings.selection == "best_val" and self.val_set is not None and len(self.val_set) > 0

    def _end_epoch(self, epoch: Epoch) -> None:
        """Keep the model if it is the best so far, then the state to resume from."""
        self.history.append(epoch)
        self.losses = []
        if epoch.val_recall is not None:
            self.fabric.log("val_recall", epoch.val_recall, len(self.history) * self.steps_per_epoch)
        recalls = [epoch.val_recall or 0.0 for epoch in self.history]
        if not self._selects() or self.selected_epoch < 0 or recalls[-1] > recalls[self.selected_epoch]:
            self.selected_epoch = len(self.history) - 1
            if self.fabric.global_rank == 0:
                write_whole(self.folder / MODEL_FILE, self.bare_model.state_dict())
        if self.fabric.global_rank == 0:
            write_bytes(self.folder / HISTORY_FILE, _history_csv(self.history))
        self._write_state()

    def _write_state(self) -> None:
        """What a killed training goes on from; all else follows from settings, epoch and step."""
        state = {
            "identity": self.identity,
            "model": self.bare_model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "history": [asdict(epoch) for epoch in self.history],
            "losses": self.losses,
            "selected_epoch": self.selected_epoch,
        }
        if self.fabric.global_rank == 0:
            write_whole(self.folder / RESUME_FILE, state)
        self.fabric.barrier()

    def result(self) -> TrainResult:
        """Where the selected model lies."""
        num_steps = len(self.history) * self.steps_per_epoch
        return TrainResult(self.folder / MODEL_FILE, self.selected_epoch, num_steps, tuple(self.history))


def _first_model(settings: TrainSettings, video_dim: int) -> AVLNet:
    if settings.init_checkpoint is not None:
        model = load_avlnet(settings.init_checkpoint, settings.mask_padding)
        check_video_dim(settings.init_checkpoint, model, video_dim)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return AVLNet(settings.embedding_dim, video_dim, settings.widths, settings.mask_padding)


def _synchronise(model: AVLNet, settings: TrainSettings, fabric: Fabric) -> AVLNet:
    """Batch norm over all processes, where torch can: its synchronised layer is for GPUs only."""
    if fabric.world_size == 1 or settings.recipe == "upstream":
        return model
    if fabric.device.type == "cuda":
        synchronised: AVLNet = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return synchronised
    logger.warning("batch norm is not synchronised on a CPU: each process normalises by its own share of the batch")
    return model


def _history_csv(history: list[Epoch]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(asdict(history[0])))
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    return text.getvalue().encode()
