"""What a release says of itself, and how it is cut into shards and tiers."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from datasets.settings import Settings

ExportFormat = Literal["webdataset", "lhotse", "search-page"]


class PublishSettings(Settings):
    """How a release is made from the tables of a root."""

    name: str = Field(default="narrated-clips", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the dataset, in its card, its citation and its Croissant file."""
    authors: tuple[str, ...] = ()
    """Who is to be cited; the dataset's name stands in where nobody is named."""
    contact: str | None = None
    """Where owners write for a removal; the card says so, or says that nothing was given."""
    license: str = "other"
    """Identifier of the Hub's list of licences; `other`: the terms that come with the release."""
    license_file: Path | None = None
    """Text of the licence, for any other than `other`."""
    show_titles: Literal["never", "creative_commons"] = "never"
    """creative_commons: title and channel of videos whose licence says Creative Commons, for the credit it asks for."""
    tiny_clips: int = Field(default=100, ge=1)
    """Clips of each split in the tier `tiny`."""
    small_clips: int = Field(default=1000, ge=1)
    """Clips of each split in the tier `small`."""
    clips_per_shard: int = Field(default=1000, ge=1, le=100_000)
    """Most clips of one shard; 1,000 clips of 20 s are about 300 MB of log-mel."""
    exports: tuple[ExportFormat, ...] = ()
    """What `publish` makes of every release beside it, under ROOT/exports: webdataset, lhotse, search-page."""

    @model_validator(mode="after")
    def _check(self) -> "PublishSettings":
        if self.tiny_clips > self.small_clips:
            raise ValueError(f"tiny_clips must be at most small_clips, got {self.tiny_clips} and {self.small_clips}")
        if (self.license != "other") != (self.license_file is not None):
            raise ValueError(f"license_file must be given for a license, and only then, got {self.license!r} without")
        return self
