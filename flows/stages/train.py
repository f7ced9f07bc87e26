"""Features to retrieval: pre-train or fine-tune AVLnet, evaluate it in both directions."""

import os
from pathlib import Path
from typing import Any

from prefect import Flow, flow

from datasets.files import sha256_of, write_json
from datasets.outcomes import OK
from datasets.settings import recipe_of
from datasets.tables import current_recipe, make_table, write_part
from flows.config import Config
from flows.machinery.batches import Run, has_parts, hold_root, start_run
from flows.machinery.prepare import prepared
from flows.machinery.progress import show_steps
from flows.report.gallery import build_gallery
from model.checkpoints import check_video_dim, load_avlnet
from model.data import ClipSet, has_split, load_clips
from model.evaluate import embed_clips, evaluation_rows, rank_rows, retrieval_reports
from model.pretraining import load_videos
from model.train import MODEL_FILE, train

TABLES_READ = ("splits", "pairs", "pooled", "log_mel")
PRETRAINING_READS = ("splits", "clips", "segments", "features_2d", "features_3d", "log_mel")
TRAINED_ON_FILE = "trained_on.json"


@flow(name="pretrain")
@prepared("pretrain")
def pretrain(config: Config) -> Path:
    """Train AVLnet on windows of the whole videos in split train.

    Returns:
        The checkpoint, a state dict with the original's keys; what `train.init_checkpoint` takes.

    Raises:
        ValueError: a batch larger than the train split, or a checkpoint that does not fit the features.
    """
    run = start_run(config)
    with hold_root(config.root):
        return pretrain_model(run)


@flow(name="finetune")
@prepared("finetune")
def finetune(config: Config) -> Path:
    """Train AVLnet on the train clips or pairs; a finished training is not done again, a killed one goes on.

    Returns:
        The checkpoint: a state dict with the original's keys.

    Raises:
        ValueError: a batch larger than the train split, or a checkpoint that does not fit the features.
    """
    run = start_run(config)
    with hold_root(config.root):
        return train_model(run)


@flow(name="evaluate")
@prepared("evaluate")
def evaluate(config: Config) -> None:
    """Measure retrieval on the test and train clips with the checkpoint of this configuration; write the gallery."""
    run = start_run(config)
    with hold_root(config.root):
        measure_retrieval(run, _trained_checkpoint(run))
        build_gallery(config)


def run_in_every_process(training: Flow[[Config], Path], config: Config) -> Path:
    """A training flow in one process, or in each that torchrun started: the first is the flow and holds the root."""
    if int(os.environ.get("RANK", "0")) == 0:
        return training(config)
    work = {"pretrain": pretrain_model, "finetune": train_model}[training.name]
    return work(Run(config, "beside-the-flow"))


def pretrain_model(run: Run) -> Path:
    """The checkpoint of this configuration, trained on whole videos if it is not there."""
    config = run.config
    folder = checkpoint_folder(run, PRETRAINING_READS, "pretrain", config.windows)
    _record_training(run, folder, PRETRAINING_READS)
    videos = load_videos(run.root, "train", config.windows, config.train.families, config.run.cache_dir)
    with show_steps("pre-train AVLnet") as on_step:
        return train(videos, None, config.train, folder, on_step=on_step).checkpoint


def train_model(run: Run) -> Path:
    """The checkpoint of this configuration, trained if it is not there."""
    folder = checkpoint_folder(run)
    _record_training(run, folder, TABLES_READ)
    val_set = _load(run, "val") if has_split(run.root, "val") else None
    with show_steps("train AVLnet") as on_step:
        return train(_load(run, "train"), val_set, run.config.train, folder, on_step=on_step).checkpoint


def _load(run: Run, split: str) -> ClipSet:
    return load_clips(run.root, split, run.config.train.families, run.config.run.cache_dir)


def _record_training(run: Run, folder: Path, tables: tuple[str, ...]) -> None:
    """Which tables a checkpoint is trained on, so that a takedown can say which have seen a video."""
    path = folder / TRAINED_ON_FILE
    if not path.exists():
        write_json(path, {"recipes": {table: current_recipe(run.root, table) for table in tables}})


def checkpoint_folder(run: Run, tables: tuple[str, ...] = TABLES_READ, *more: Any) -> Path:
    """Where the checkpoint of this configuration and these tables lies, or would lie."""
    init = run.config.train.init_checkpoint
    read = [current_recipe(run.root, table) for table in tables]
    recipe = recipe_of(run.config.train, sha256_of(Path(init)) if init else None, read, *more)
    return Path(run.root) / "checkpoints" / recipe


def _trained_checkpoint(run: Run) -> Path:
    checkpoint = checkpoint_folder(run) / MODEL_FILE
    if not checkpoint.is_file():
        raise ValueError(f"no checkpoint of this configuration at {checkpoint}: run `python -m flows finetune` first")
    return checkpoint


def measure_retrieval(run: Run, checkpoint: Path) -> None:
    """Evaluate a checkpoint: table evaluations, a row a split and direction; table ranks, a row a query of them."""
    recipe = recipe_of(run.config.evaluate, sha256_of(checkpoint), [current_recipe(run.root, t) for t in TABLES_READ])
    if not (has_parts(run.root, "evaluations", recipe) and has_parts(run.root, "ranks", recipe)):
        rows: list[dict[str, Any]] = []
        ranks: list[dict[str, Any]] = []
        for split in ("train", "test"):
            measured, ranked = _measure_split(run, checkpoint, split)
            rows += measured
            ranks += ranked
        write_part(run.root, "ranks", make_table("ranks", ranks, recipe=recipe, run_id=run.run_id))
        write_part(run.root, "evaluations", make_table("evaluations", rows, recipe=recipe, run_id=run.run_id))
    run.record("ranks", recipe)
    run.record("evaluations", recipe)


def _measure_split(run: Run, checkpoint: Path, split: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of evaluations and of ranks."""
    model, clips = load_avlnet(checkpoint), _load(run, split)
    check_video_dim(checkpoint, model, clips.video_dim)
    audio, video = embed_clips(model, clips, run.config.evaluate)
    report = retrieval_reports(audio, video, run.config.evaluate)
    names = sha256_of(checkpoint), f"working-{current_recipe(run.root, 'splits')}", split
    rows = evaluation_rows(report, *names)
    for row, figures in zip(rows, report.values(), strict=True):
        row |= {f"shuffled_recall_at_{k}": figures["shuffled"][f"R@{k}"] for k in (1, 5, 10)}
    ranked = rank_rows(audio, video, clips, *names)
    return [{**row, **OK} for row in rows], [{**row, **OK} for row in ranked]
