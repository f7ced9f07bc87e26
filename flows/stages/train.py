"""Features to checkpoints: pre-train or fine-tune AVLnet."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow

from datasets.files import sha256_of, write_json
from datasets.filters import read_figures
from datasets.settings import recipe_of
from datasets.tables import current_recipe
from flows.config import Config
from flows.machinery.prepare import prepared
from flows.machinery.progress import show_steps
from flows.machinery.run import Run, open_run
from flows.stages.filter import filter_clips, filter_recipe, keep_by_rules
from model.history import MODEL_FILE, is_trained
from model.settings import TrainSettings

if TYPE_CHECKING:
    from model.data import ClipSet

# The rest of `model` loads torch, which takes seconds: it is imported where it is known that a model is to be trained.
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
    with open_run(config) as run:
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
    with open_run(config) as run:
        return train_model(run)


def pretrain_model(run: Run) -> Path:
    """The checkpoint of this configuration, trained on whole videos if it is not there."""
    config = run.config
    csv = config.windows.csv
    tables = PRETRAINING_READS if csv is None else ()
    more = ("pretrain", config.windows, *([sha256_of(csv)] if csv else []))
    folder = checkpoint_folder(run, tables, *more)
    if is_trained(folder, config.train):
        return folder / MODEL_FILE
    run.begin()
    from model.originals.howto100m import load_npz_videos
    from model.pretraining import load_videos
    from model.train import train

    _record_training(run, folder, tables)
    if csv:
        videos = load_npz_videos(config.windows, config.train.families)
    else:
        videos = load_videos(run.root, "train", config.windows, config.train.families, config.run.cache_dir)
    with show_steps("pre-train AVLnet") as on_step:
        made_from = recipe_of(*_made_from(run, tables), *more)
        return train(videos, None, config.train, folder, on_step=on_step, made_from=made_from).checkpoint


def train_model(run: Run) -> Path:
    """The checkpoint of this configuration, trained if it is not there."""
    filter_clips(run)
    folder = checkpoint_folder(run)
    if is_trained(folder, run.config.train):
        return folder / MODEL_FILE
    run.begin()
    _record_training(run, folder, (*TABLES_READ, "filtered") if run.config.filters.rules else TABLES_READ)
    made_from = recipe_of(*_made_from(run, TABLES_READ), *filter_recipe(run))
    from model.data import has_split

    train_set, val_set = load_split(run, "train"), load_split(run, "val") if has_split(run.root, "val") else None
    return train_clips(train_set, val_set, run.config.train, folder, "train AVLnet", made_from)


def train_on(
    place: str, settings: TrainSettings, folder: Path, title: str, made_from: str, cache_dir: str | Path | None = None
) -> Path:
    """The checkpoint in a folder, trained on a root's or a release's train clips; val clips select where there are any.

    Args:
        place: root or release.
        settings: hyper-parameters, and which features.
        folder: of this training alone.
        title: of the progress bar.
        made_from: names the values of the clips and of the first weights.
        cache_dir: see `load_clips`.
    """
    from model.data import has_split, load_clips

    splits = [split for split in ("train", "val") if split == "train" or has_split(place, split)]
    train_set, *val_sets = (load_clips(place, split, settings.families, cache_dir) for split in splits)
    return train_clips(train_set, val_sets[0] if val_sets else None, settings, folder, title, made_from)


def train_clips(
    train_set: "ClipSet", val_set: "ClipSet | None", settings: TrainSettings, folder: Path, title: str, made_from: str
) -> Path:
    """The checkpoint in a folder, trained on some clips and selected by others: see `train_on`."""
    from model.train import train

    with show_steps(title) as on_step:
        return train(train_set, val_set, settings, folder, on_step=on_step, made_from=made_from).checkpoint


def load_split(run: Run, split: str) -> "ClipSet":
    """The clips of one split that rules leave in, with the features that the configuration trains on."""
    from model.data import load_clips

    clips, rules = load_clips(run.root, split, run.config.train.families, run.config.run.cache_dir), run.config.filters
    return keep_by_rules(clips, split, rules, read_figures(run.root, rules)) if rules.rules else clips


def _record_training(run: Run, folder: Path, tables: tuple[str, ...]) -> None:
    """Which tables a checkpoint is trained on, so that a takedown can say which have seen a video."""
    path = folder / TRAINED_ON_FILE
    if not path.exists():
        write_json(path, {"recipes": {table: current_recipe(run.root, table) for table in tables}})


def checkpoint_folder(run: Run, tables: tuple[str, ...] = TABLES_READ, *more: Any) -> Path:
    """Where the checkpoint of this configuration and these tables lies, or would lie."""
    rules = filter_recipe(run) if tables == TABLES_READ else ()
    return Path(run.root) / "checkpoints" / recipe_of(run.config.train, *_made_from(run, tables), *rules, *more)


def _made_from(run: Run, tables: tuple[str, ...]) -> tuple[str | None, list[str | None]]:
    """(sha256 of the weights to start from, recipes of the tables)"""
    return digest_of_init(run.config.train), [current_recipe(run.root, table) for table in tables]


def digest_of_init(settings: TrainSettings) -> str | None:
    """sha256 of the weights to start from; None for random ones."""
    return sha256_of(settings.init_checkpoint) if settings.init_checkpoint else None
