"""What the rows of the paper's tables are made of: data and checkpoints, named in the configuration."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from datasets.settings import Settings
from model.settings import RECIPES, TrainSettings


class Experiment(StrEnum):
    """The paper's two experiments, and its tables by number: the same, where table1 has all rows without a file."""

    YOUCOOK_JAPANESE = "youcook-japanese"
    PLACES = "places"
    TABLE1 = "table1"
    TABLE2 = "table2"


TABLES_OF = {
    Experiment.YOUCOOK_JAPANESE: ("youcook_japanese",),
    Experiment.PLACES: ("places_japanese", "places_hindi"),
    Experiment.TABLE1: ("youcook_japanese",),
    Experiment.TABLE2: ("places_japanese", "places_hindi"),
}


def rows_of_table1(root: str | None) -> dict[str, dict[str, Any]]:
    """The paper's four rows on imported roots: what stands where a configuration says nothing.

    Args:
        root: the root of YouCook-Japanese, with YouCook2's beside it, or the folder that holds both, youcook_japanese
            and youcook2.
    """
    is_root = root is not None and (Path(root) / "splits").is_dir()
    japanese, english = ("{root}", "{root}/../youcook2") if is_root else ("{root}/youcook_japanese", "{root}/youcook2")
    weights = "weights/AVLnet_release.pth"
    tuned = {**RECIPES["finetune"], "init_checkpoint": weights}
    rows = {
        "a": {"train_on": japanese, "train": dict(RECIPES["scratch"])},
        "b": {"checkpoint": weights},
        "c": {"train_on": english, "train": dict(tuned)},
        "d": {"train_on": japanese, "train": dict(tuned)},
    }
    return {"experiments": {"youcook_japanese": {"test_on": japanese, "rows": rows}}}


class RowSettings(Settings):
    """One row: a checkpoint that is there, or one to train. `{root}` in a name is the configuration's root."""

    checkpoint: str | None = None
    """Model that is evaluated as it is (.pth)."""
    train_on: str | None = None
    """Root or release whose train clips the row trains on; from `train.init_checkpoint`, or from random weights."""
    starts_from: str | None = None
    """Row before it in the table whose model of the same seed the training starts from, in place of a file."""
    train: TrainSettings | None = None
    """How it is trained; the configuration's own [train] when not given."""

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> "RowSettings":
        if self.checkpoint and self.train_on:
            raise ValueError(
                "a row has a checkpoint or trains one: to start from a file, name it in train.init_checkpoint"
            )
        if self.starts_from and not self.train_on:
            raise ValueError("a row that starts from another's model trains: name what on in train_on")
        if self.starts_from and self.train and self.train.init_checkpoint:
            raise ValueError("a row starts from another's model or from a file: leave out train.init_checkpoint")
        return self


class TableSettings(Settings):
    """One table of the paper: the test clips, and what each row is measured with."""

    test_on: str | None = None
    """Root or release with the clips that every row is measured on."""
    split: Literal["train", "val", "test"] = "test"
    """Of `test_on`."""
    features: Literal["2d+3d", "2d"] = "2d+3d"
    """What the video head sees."""
    num_queries: int | None = Field(default=None, ge=1)
    """At most so many clips or pairs, the first in the order of a hash of their ids; all when not given."""
    rows: Mapping[str, RowSettings] = Field(default_factory=dict)
    """By the paper's name of the row (a, b, c, d; avlnet), or by any other for a row of one's own."""

    @property
    def families(self) -> tuple[str, ...]:
        """The families of `features`, in the order the video head sees them."""
        return tuple(self.features.split("+"))


class PlacesSettings(TableSettings):
    """Images with spoken captions: 2D features only, 1,000 pairs."""

    features: Literal["2d+3d", "2d"] = "2d"
    """What the video head sees."""
    num_queries: int | None = Field(default=1000, ge=1)
    """At most so many pairs, the first in the order of a hash of their ids."""


class ExperimentSettings(Settings):
    """The paper's tables. `{root}` in a name is the configuration's root."""

    out: str = "{root}/experiments"
    """Local folder for results and for the checkpoints of rows that are trained."""
    seeds: int = Field(default=1, ge=1)
    """Trainings of each row that trains, by seeds from `train.seed` on: figures are their mean, intervals hold the seed
    too."""
    youcook_japanese: TableSettings = TableSettings()
    places_japanese: PlacesSettings = PlacesSettings()
    places_hindi: PlacesSettings = PlacesSettings()
