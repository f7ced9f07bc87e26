"""What the rows of the paper's tables are made of: data and checkpoints, named in the configuration."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from datasets.settings import Settings
from model.settings import TrainSettings


class Experiment(StrEnum):
    """The paper's two experiments."""

    YOUCOOK_JAPANESE = "youcook-japanese"
    PLACES = "places"


TABLES_OF = {
    Experiment.YOUCOOK_JAPANESE: ("youcook_japanese",),
    Experiment.PLACES: ("places_japanese", "places_hindi"),
}


class RowSettings(Settings):
    """One row: a checkpoint that is there, or one to train. `{root}` in a name is the configuration's root."""

    checkpoint: str | None = None
    """Model that is evaluated as it is (.pth)."""
    train_on: str | None = None
    """Root or release whose train clips the row trains on; from `train.init_checkpoint`, or from random weights."""
    train: TrainSettings | None = None
    """How it is trained; the configuration's own [train] when not given."""

    @model_validator(mode="after")
    def _refuse_both(self) -> "RowSettings":
        if self.checkpoint and self.train_on:
            raise ValueError(
                "a row has a checkpoint or trains one: to start from a file, name it in train.init_checkpoint"
            )
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
    youcook_japanese: TableSettings = TableSettings()
    places_japanese: PlacesSettings = PlacesSettings()
    places_hindi: PlacesSettings = PlacesSettings()
