"""Train AVLnet on the clips of a split: seeded, resumable, by Lightning Fabric."""

import csv
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from datasets.settings import recipe_of
from datasets.tables import write_bytes
from model.avlnet import AVLNet
from model.checkpoints import check_video_dim, load_avlnet, read_whole, write_whole
from model.data import Batch, ClipSet, padded_length, round_up_to_16
from model.evaluate import mean_recall
from model.settings import PRESETS as PRESETS
from model.settings import TrainSettings
from model.steps import backward_contrastive
from model.videos import VideoSet

MODEL_FILE, RESUME_FILE, HISTORY_FILE = "avlnet.pth", "resume.pt", "history.csv"


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
    on_step: Callable[[int, int, float], None] | None = None,
    fabric: Fabric | None = None,
) -> TrainResult:
    """Train a model, or go on where a killed training of the same settings and clips stopped.

    Args:
        train_set: clips, or videos to draw windows from; the last, incomplete batch of an epoch is left out, as in
            the original.
        val_set: clips that select the epoch; without them the last one is kept.
        settings: hyper-parameters.
        checkpoint_dir: local folder for avlnet.pth, resume.pt and history.csv.
        on_step: called after each step with (steps done, steps in all, loss), for a progress bar.
        fabric: where to run; one process, or those that torchrun started, when not given.

    Raises:
        ValueError: more clips in a batch than in the train split, a checkpoint of other sizes, or a folder that holds
            another training.
    """
    run = _Run(train_set, val_set, settings, Path(checkpoint_dir), fabric or _fabric(settings))
    run.restore()
    while not run.is_done():
        run.train_epoch(on_step)
    return run.result()


def _fabric(settings: TrainSettings) -> Fabric:
    """One process, or as many as torchrun started."""
    precision: Any = {"fp32": "32-true", "bf16": "bf16-mixed"}[settings.precision]
    local_size, num_nodes = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    strategy = "ddp" if local_size * num_nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=settings.device, devices=local_size, num_nodes=num_nodes, strategy=strategy, precision=precision
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
        share = fabric.world_size * (train_set.windows_per_video if isinstance(train_set, VideoSet) else 1)
        if settings.batch_size % share:
            raise ValueError(
                f"train.batch_size must be a multiple of {share} (processes times windows a video), "
                f"got {settings.batch_size}"
            )
        self.train_set, self.val_set, self.settings, self.folder, self.fabric = (
            train_set, val_set, settings, folder, fabric,
        )  # fmt: skip
        model = _first_model(settings, train_set.video_dim)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        self.bare_model = model
        optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=settings.learning_rate)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        self.history: list[Epoch] = []
        self.selected_epoch = -1
        ids = {"train": train_set.clip_ids, "val": val_set.clip_ids if val_set else []}
        self.identity = recipe_of(settings, settings.init_checkpoint, ids)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train_set) // self.settings.batch_size

    def restore(self) -> None:
        """Take up the state that `_save` left, if any."""
        path = self.folder / RESUME_FILE
        if not path.exists():
            return
        state = read_whole(path)
        if state["identity"] != self.identity:
            raise ValueError(f"{self.folder} holds a training of other settings or clips: choose another folder")
        self.bare_model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = [Epoch(**row) for row in state["history"]]
        self.selected_epoch = state["selected_epoch"]

    def is_done(self) -> bool:
        """All epochs done, or none better for `patience` epochs."""
        num_done, patience = len(self.history), self.settings.patience
        is_stale = patience is not None and self._selects() and num_done - 1 - self.selected_epoch >= patience
        return num_done >= self.settings.epochs or (num_done > 0 and is_stale)

    def train_epoch(self, on_step: Callable[[int, int, float], None] | None) -> None:
        """One pass over the train clips, then validation and checkpoints."""
        epoch = len(self.history)
        learning_rate = self.settings.learning_rate * self.settings.lr_decay**epoch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.model.train(self.settings.recipe == "proper")
        losses = []
        for pieces in self._batches(epoch):
            self.optimizer.zero_grad()
            losses.append(backward_contrastive(self.fabric, self.model, pieces, self.settings.recompute).item())
            self.optimizer.step()
            if on_step:
                num_done = epoch * self.steps_per_epoch + len(losses)
                on_step(num_done, self.settings.epochs * self.steps_per_epoch, losses[-1])
        val_recall = mean_recall(self.bare_model, self.val_set) if self._selects() and self.val_set else None
        self.history.append(Epoch(epoch, float(np.mean(losses)), learning_rate, val_recall))
        self._save()

    def _batches(self, epoch: int) -> Iterator[list[Batch]]:
        """This process's clips of each batch of the epoch, in micro batches of similar length."""
        per_item = self.train_set.windows_per_video if isinstance(self.train_set, VideoSet) else 1
        num_items, size = len(self.train_set) // per_item, self.settings.batch_size // per_item
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(num_items)
        for step in range(self.steps_per_epoch):
            own = order[step * size : (step + 1) * size][self.fabric.global_rank :: self.fabric.world_size]
            if isinstance(self.train_set, VideoSet):
                clips = self.train_set.draw(own, [self.settings.seed, epoch])
                own = np.arange(len(clips))
            else:
                clips = self.train_set
            groups = split_by_length(clips, own, self.settings.micro_batch_size)
            yield [clips.batch(group, self._num_padded(clips, group)) for group in groups]

    def _num_padded(self, clips: ClipSet, indices: np.ndarray[Any, np.dtype[np.int64]]) -> int:
        longest = int(clips.num_frames[indices].max())
        if clips.padded_to is not None:
            return clips.padded_to
        if self.settings.recipe == "upstream":
            return padded_length(longest)
        return min(padded_length(longest), round_up_to_16(longest))

    def _selects(self) -> bool:
        return self.settings.selection == "best_val" and self.val_set is not None and len(self.val_set) > 0

    def _save(self) -> None:
        """Keep the model if it is the best so far, then the state to resume from."""
        recalls = [epoch.val_recall or 0.0 for epoch in self.history]
        is_best = not self._selects() or self.selected_epoch < 0 or recalls[-1] > recalls[self.selected_epoch]
        if is_best:
            self.selected_epoch = len(self.history) - 1
        if self.fabric.global_rank == 0:
            weights = self.bare_model.state_dict()
            if is_best:
                write_whole(self.folder / MODEL_FILE, weights)
            write_whole(self.folder / RESUME_FILE, self._state(weights))
            write_bytes(self.folder / HISTORY_FILE, _history_csv(self.history))
        self.fabric.barrier()

    def _state(self, weights: dict[str, Any]) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "model": weights,
            "optimizer": self.optimizer.state_dict(),
            "history": [asdict(epoch) for epoch in self.history],
            "selected_epoch": self.selected_epoch,
        }

    def result(self) -> TrainResult:
        """Where the selected model lies."""
        num_steps = len(self.history) * self.steps_per_epoch
        return TrainResult(self.folder / MODEL_FILE, self.selected_epoch, num_steps, tuple(self.history))


def split_by_length(
    clips: ClipSet, indices: np.ndarray[Any, np.dtype[np.int64]], size: int
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Groups of at most `size` indices of clips of similar length, so that little is padded."""
    by_length = indices[np.argsort(clips.num_frames[indices], kind="stable")]
    return [by_length[start : start + size] for start in range(0, len(by_length), size)]


def _first_model(settings: TrainSettings, video_dim: int) -> AVLNet:
    if settings.init_checkpoint is not None:
        model = load_avlnet(settings.init_checkpoint, settings.mask_padding)
        check_video_dim(settings.init_checkpoint, model, video_dim)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return AVLNet(settings.embedding_dim, video_dim, settings.widths, settings.mask_padding)


def _history_csv(history: list[Epoch]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(asdict(history[0])))
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    return text.getvalue().encode()
