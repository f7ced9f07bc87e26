"""What a training tells of its epochs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from datasets.files import write_bytes
from datasets.outside_text import make_csv


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv."""

    epoch: int
    loss: float
    """Mean over the epoch's batches."""
    learning_rate: float
    val_recall: float | None
    """Mean of R@1, R@5 and R@10 over both directions on the val clips; None without val clips."""


def write_history(path: Path, epochs: Sequence[Epoch]) -> None:
    """A row an epoch, whole or not at all."""
    write_bytes(path, make_csv([field.name for field in fields(Epoch)], map(asdict, epochs)))
