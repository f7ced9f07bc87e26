"""What a training leaves beside its model: a row an epoch, which tells without torch whether it has ended."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from datasets.files import write_bytes
from datasets.outside_text import make_csv
from model.settings import TrainSettings

MODEL_FILE, HISTORY_FILE = "avlnet.pth", "history.csv"


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv."""

    epoch: int
    loss: float
    """Mean over the epoch's batches."""
    learning_rate: float
    val_recall: float | None
    """Mean of R@1, R@5 and R@10 over both directions on the val clips; None without val clips."""


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Write the rows so far, whole or not at all."""
    columns = [field.name for field in fields(Epoch)]
    write_bytes(folder / HISTORY_FILE, make_csv(columns, map(asdict, history)))


def is_trained(folder: Path, settings: TrainSettings) -> bool:
    """Whether the folder of a training holds its selected model and needs no further epoch."""
    if not ((folder / MODEL_FILE).is_file() and (folder / HISTORY_FILE).is_file()):
        return False
    with (folder / HISTORY_FILE).open(newline="") as file:
        recalls = [float(row["val_recall"] or 0) for row in csv.DictReader(file)]
    return is_done(recalls, settings)


def is_done(recalls: Sequence[float], settings: TrainSettings) -> bool:
    """All epochs done, or none better for `patience` epochs.

    Args:
        recalls: on the val clips, of each epoch; 0 where no clips select one.
        settings: how many epochs, and how patient.
    """
    if len(recalls) >= settings.epochs or settings.patience is None or not recalls:
        return len(recalls) >= settings.epochs
    return len(recalls) - 1 - recalls.index(max(recalls)) >= settings.patience
