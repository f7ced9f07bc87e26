"""Features to retrieval: train AVLnet on the train clips, evaluate it in both directions."""

import hashlib
from pathlib import Path
from typing import Any

from prefect import flow

from datasets.schemas import OK
from datasets.settings import recipe_of
from datasets.tables import current_recipe, make_table, write_part
from flows.batches import Run, has_parts, hold_root, start_run
from flows.config import Config
from flows.progress import show_steps
from model.data import load_clips
from model.evaluate import evaluate as evaluate_model
from model.evaluate import evaluation_rows
from model.train import MODEL_FILE, train

TABLES_READ = ("splits", "pooled", "log_mel")


@flow(name="finetune")
def finetune(config: Config) -> Path:
    """Train AVLnet on the train clips; a finished training is not done again, a killed one goes on.

    Returns:
        The checkpoint: a state dict with the original's keys.

    Raises:
        ValueError: a batch larger than the train split, or a checkpoint that does not fit the features.
    """
    run = start_run(config)
    with hold_root(config.root):
        return train_model(run)


@flow(name="evaluate")
def evaluate(config: Config) -> None:
    """Measure retrieval on the test and train clips with the checkpoint of this configuration."""
    run = start_run(config)
    with hold_root(config.root):
        measure_retrieval(run, _trained_checkpoint(run))


def train_model(run: Run) -> Path:
    """The checkpoint of this configuration, trained if it is not there."""
    folder = _checkpoint_folder(run)
    train_set, val_set = load_clips(run.root, "train"), load_clips(run.root, "val")
    with show_steps("train AVLnet") as on_step:
        return train(train_set, val_set, run.config.train, folder, on_step=on_step).checkpoint


def _checkpoint_folder(run: Run) -> Path:
    init = run.config.train.init_checkpoint
    read = [current_recipe(run.root, table) for table in TABLES_READ]
    recipe = recipe_of(run.config.train, _sha256_of(Path(init)) if init else None, read)
    return Path(run.root) / "checkpoints" / recipe


def _trained_checkpoint(run: Run) -> Path:
    checkpoint = _checkpoint_folder(run) / MODEL_FILE
    if not checkpoint.is_file():
        raise ValueError(f"no checkpoint of this configuration at {checkpoint}: run `python -m flows finetune` first")
    return checkpoint


def measure_retrieval(run: Run, checkpoint: Path) -> None:
    """Evaluate a checkpoint: table evaluations, a row a split and direction."""
    recipe = recipe_of(run.config.evaluate, _sha256_of(checkpoint), [current_recipe(run.root, t) for t in TABLES_READ])
    if not has_parts(run.root, "evaluations", recipe):
        rows: list[dict[str, Any]] = []
        for split in ("train", "test"):
            report = evaluate_model(checkpoint, load_clips(run.root, split), run.config.evaluate)
            release = f"working-{current_recipe(run.root, 'splits')}"
            for row, figures in zip(
                evaluation_rows(report, _sha256_of(checkpoint), release, split), report.values(), strict=True
            ):
                shuffled = {f"shuffled_recall_at_{k}": figures["shuffled"][f"R@{k}"] for k in (1, 5, 10)}
                rows.append({**row, **shuffled, **OK})
        write_part(run.root, "evaluations", make_table("evaluations", rows, recipe=recipe, run_id=run.run_id))
    run.record("evaluations", recipe)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
