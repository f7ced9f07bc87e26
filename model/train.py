"""Train AVLnet on the clips of a split: seeded, resumable, by Lightning Fabric."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from datasets.devices import device_errors
from datasets.settings import recipe_of
from model.avlnet import AVLNet
from model.card import tell_batch_statistics, write_card
from model.checkpoints import RESUME_FILE, find_state, load_avlnet, read_whole, write_whole
from model.contrastive import backward_contrastive
from model.data import Batch, ClipSet
from model.evaluate import mean_recall
from model.fabric import make_fabric, synchronise
from model.finite import Figures, NotFiniteError, find_spoilt, send_figures
from model.history import MODEL_FILE, Epoch, is_done, write_history
from model.memory import has_room_for_graph, tell_memory_of_statistics
from model.prefetch import prepare_ahead
from model.pretraining import VideoSet
from model.sampling import clips_per_epoch, clips_per_item, iterate_batches
from model.schedules import make_optimizer, make_scheduler, take_up
from model.settings import TrainSettings

OnStep = Callable[[int, int, float], None]
_WITHOUT_ROOM = "lower train.batch_size, or train.micro_batch_size (in recipe proper train.statistics_over)"
logger = logging.getLogger(__name__)


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
    made_from: str = "",
) -> TrainResult:
    """Train a model, or go on where a killed training of the same settings and clips stopped.

    Args:
        train_set: clips, or videos to draw windows from; the last, incomplete batch of an epoch is left out, as in
            the original.
        val_set: clips that select the epoch; without them the last one is kept.
        settings: hyper-parameters.
        checkpoint_dir: local folder for avlnet.pth, resume.pt, history.csv and tensorboard/.
        on_step: called after each step with (steps done, steps in all, loss), for a progress bar.
        made_from: names the values of the clips and of the first weights, say by digests: a training of more epochs
            goes on where one beside it of fewer ended, if it was made from the same.

    Raises:
        NotFiniteError: a loss, gradient or weight that is not finite, in the step that brought it.
        DeviceError: the device has no room for a step, or fails.
        ValueError: more clips in a batch than in the train split, patience without val clips, a checkpoint of other
            sizes, or a folder that holds another training.
    """
    folder = Path(checkpoint_dir)
    fabric = make_fabric(settings, folder)
    with device_errors(str(fabric.device), "free it of others, or name another by train.device"):
        run = _Run(train_set, val_set, settings, folder, fabric, made_from)
        run.restore()
    while not is_done([epoch.val_recall or 0.0 for epoch in run.history], settings):
        run.train_epoch(on_step)
    for log in run.fabric.loggers:
        log.finalize("success")
    return run.result()


class _Run:
    """The state of one training."""

    def __init__(
        self,
        train_set: ClipSet | VideoSet,
        val_set: ClipSet | None,
        settings: TrainSettings,
        folder: Path,
        fabric: Fabric,
        made_from: str,
    ) -> None:
        self.train_set, self.val_set, self.settings, self.folder, self.fabric = (
            train_set, val_set, settings, folder, fabric,
        )  # fmt: skip
        self._refuse_what_cannot_run()
        # Torch's own default for convolutions, and that of NVIDIA's images for products, is off by 1e-3: no fp32.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        if settings.init_checkpoint is not None:
            model = load_avlnet(settings.init_checkpoint, settings.mask_padding, train_set.video_dim)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                model = AVLNet(settings.embedding_dim, train_set.video_dim, settings.widths, settings.mask_padding)
        if fabric.device.type == "cuda":  # what its convolutions want; on a CPU it brought nothing
            model = model.to(memory_format=torch.channels_last)
        self.bare_model = model = synchronise(model, settings, fabric)
        self.log_scale = (
            torch.zeros((), device=fabric.device, requires_grad=True) if settings.learn_logit_scale else None
        )
        trained = [p for p in model.parameters() if p.requires_grad] + [p for p in (self.log_scale,) if p is not None]
        optimizer = make_optimizer(trained, settings, fabric.device)
        self.scheduler = make_scheduler(optimizer, settings, self.steps_per_epoch)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        self.history: list[Epoch] = []
        self.losses: list[float] = []
        """Of the steps done in the epoch that is not over, as far as their figures are read."""
        self.coming: Figures | None = None
        """Of the last step."""
        self.written_at, self.is_warned = time.monotonic(), False
        self.selected_epoch = -1
        ids = {"train": train_set.clip_ids, "val": val_set.clip_ids if val_set else []}
        # More epochs, or more patience, is the same training gone on with; a cosine ends in the last step.
        ending = {"patience", *(() if settings.schedule == "cosine" else ("epochs",))}
        fields = {name: value for name, value in settings.recipe_fields().items() if name not in ending}
        self.identity = recipe_of(fields, settings.init_checkpoint, ids, made_from)

    def _refuse_what_cannot_run(self) -> None:
        settings, num_clips = self.settings, clips_per_epoch(self.train_set)
        if settings.batch_size > num_clips:
            raise ValueError(
                f"train.batch_size is {settings.batch_size}, but the train split has {num_clips} clips: "
                "no batch can be filled; choose a smaller batch_size"
            )
        share = self.fabric.world_size * clips_per_item(self.train_set)
        if settings.batch_size % share:
            raise ValueError(
                f"train.batch_size must be a multiple of {share} (processes times windows a video), "
                f"got {settings.batch_size}"
            )
        if settings.patience is not None and not self._selects():
            raise ValueError(
                f"train.patience is {settings.patience}, but there are no clips of split val to measure by: "
                "leave it out, or draw a split val"
            )
        if self.val_set is not None and self._selects() and (spoilt := self.val_set.spoilt()):
            raise NotFiniteError(
                f"{len(spoilt)} of {len(self.val_set)} val clips are not finite, such as {spoilt[0]}: "
                "recompute the features"
            )

    @property
    def steps_per_epoch(self) -> int:
        return clips_per_epoch(self.train_set) // self.settings.batch_size

    def restore(self) -> None:
        """Take up the state that a killed training, or one of fewer epochs, left, if any."""
        found = find_state(self.folder, self.identity, self.settings.epochs)
        if found is None:
            return
        folder, state = found
        if folder != self.folder:
            logger.info("going on with the training of %d epochs in %s", state["epochs"], folder)
            if self.fabric.global_rank == 0 and (folder / MODEL_FILE).exists():
                write_whole(self.folder / MODEL_FILE, read_whole(folder / MODEL_FILE))
            self.fabric.barrier()
        self.bare_model.load_state_dict(state["model"])
        take_up(self.optimizer, state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.log_scale is not None:
            self.log_scale.data.copy_(state["log_scale"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.losses = state["losses"]
        self.history = [Epoch(**row) for row in state["history"]]
        self.selected_epoch = state["selected_epoch"]
        if folder == self.folder and self.fabric.global_rank == 0:
            write_history(folder, self.history)  # a kill may have come between the two

    def train_epoch(self, on_step: OnStep | None) -> None:
        """What is left of one pass over the train clips, then validation and checkpoints."""
        epoch = len(self.history)
        self.model.train(self.settings.recipe == "proper")
        place = (self.fabric.global_rank, self.fabric.world_size)
        batches = iterate_batches(self.train_set, self.settings, epoch, len(self.losses), *place)
        began, all_waited_s = time.perf_counter(), 0.0
        learning_rate = self.optimizer.param_groups[0]["lr"]
        for step, ((pieces, spoilt), waited_s) in enumerate(
            prepare_ahead(map(self._make_ready, batches)), epoch * self.steps_per_epoch + len(self.losses) + 1
        ):
            learning_rate = self.optimizer.param_groups[0]["lr"]
            where = f"step {step} (epoch {epoch})"
            if spoilt:
                self._settle(on_step)
                raise NotFiniteError(f"{where}: {spoilt}")
            with device_errors(str(self.fabric.device), _WITHOUT_ROOM):
                sent = self._take_step(step, where, pieces)
            self._settle(on_step)
            self.coming = sent
            all_waited_s += waited_s
            is_due = time.monotonic() - self.written_at >= self.settings.checkpoint_every_s
            if is_due and step % self.steps_per_epoch and self.fabric.global_rank == 0:
                self._settle(on_step)
                self._write_state()
        self._settle(on_step)
        share = all_waited_s / max(time.perf_counter() - began, 1e-9)
        self.fabric.log("waiting_for_batches", share, (epoch + 1) * self.steps_per_epoch)
        val_recall = None
        if self.val_set is not None and self._selects():
            val_recall = mean_recall(self.bare_model, self.val_set, self.fabric)
        self._end_epoch(Epoch(epoch, float(np.mean(self.losses)), learning_rate, val_recall))

    def _make_ready(self, pieces: list[Batch]) -> tuple[list[Batch], str | None]:
        """A batch as the device takes it, and what is wrong with it; beside the step before."""
        spoilt = find_spoilt(pieces)
        return [piece.pinned() for piece in pieces] if self.fabric.device.type == "cuda" else pieces, spoilt

    def _take_step(self, step: int, where: str, pieces: list[Batch]) -> Figures:
        """Send a step to the device; nothing here waits for it."""
        self.optimizer.zero_grad()
        place = self.bare_model.widths, self.fabric.device, self.fabric.world_size
        has_room = has_room_for_graph(pieces, *place)
        if self.settings.recipe == "proper" and not (has_room or self.is_warned):
            self.is_warned = True
            if told := tell_memory_of_statistics(pieces, *place):
                logger.warning(told)
        loss = backward_contrastive(self.fabric, self.model, pieces, not has_room, self.log_scale)
        limit = self.settings.clip_gradient_norm or math.inf
        norm = self.fabric.clip_gradients(self.model, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        assert norm is not None
        rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.scheduler.step()
        is_fp16 = self.settings.precision == "fp16"
        return send_figures(step, where, rate, loss, norm, self.bare_model.parameters(), is_fp16)

    def _settle(self, on_step: OnStep | None) -> None:
        """Read, keep and tell the figures of the last step, if they are not yet read."""
        if self.coming is None:
            return
        done, self.coming = self.coming, None
        with device_errors(str(self.fabric.device)):
            loss, gradient_norm = done.read()
        self.losses.append(loss)
        figures = {"loss": loss, "learning_rate": done.learning_rate, "gradient_norm": gradient_norm}
        self.fabric.log_dict(figures, done.step)
        if on_step:
            on_step(done.step, self.settings.epochs * self.steps_per_epoch, loss)

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
                state = {key: value.contiguous() for key, value in self.bare_model.state_dict().items()}
                write_whole(self.folder / MODEL_FILE, state)
        if self.fabric.global_rank == 0:
            is_synchronised = any(isinstance(part, nn.SyncBatchNorm) for part in self.bare_model.modules())
            told = tell_batch_statistics(self.settings, self.fabric.world_size, is_synchronised)
            write_card(self.folder, self.settings, self.selected_epoch, self.history, len(self.train_set), told)
            self._write_state()
            write_history(self.folder, self.history)  # last: it says that an ended training is all there
        self.fabric.barrier()

    def _write_state(self) -> None:
        """What a killed training goes on from; all else follows from settings, epoch and step."""
        state = {
            "identity": self.identity,
            "epochs": self.settings.epochs,
            "model": self.bare_model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "log_scale": None if self.log_scale is None else self.log_scale.detach(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "history": [asdict(epoch) for epoch in self.history],
            "losses": self.losses,
            "selected_epoch": self.selected_epoch,
        }
        write_whole(self.folder / RESUME_FILE, state)
        self.written_at = time.monotonic()

    def result(self) -> TrainResult:
        """Where the selected model lies."""
        num_steps = len(self.history) * self.steps_per_epoch
        return TrainResult(self.folder / MODEL_FILE, self.selected_epoch, num_steps, tuple(self.history))
