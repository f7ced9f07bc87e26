"""Settings of speech segmentation; importing them loads no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from datasets.settings import OUTSIDE_RECIPE, Settings


class SpeechSettings(Settings):
    """How speech is found."""

    engine: Literal["fast", "library"] = "fast"
    """`library` runs the inaSpeechSegmenter package: the reference, five or more times slower."""
    network: Literal["smn", "sm"] = "smn"
    """Speech/music/noise, or speech/music, which calls less speech over music "music"."""
    exact: bool = False
    """Run the CNN patch by patch: the library's labels on every frame, several times slower."""
    fingerprint_ms: int = Field(default=120_000, ge=0, le=3_600_000)
    """How much of a file's beginning goes into its audio fingerprint, in ms (fpcalc's default); 0 makes none."""
    weights_dir: Annotated[Path | None, OUTSIDE_RECIPE] = None
    """Folder of the CNN weights; by default `weights/` of the checkout."""
    device: Annotated[str, OUTSIDE_RECIPE] = "cpu"
    """Where torch runs the CNN: "cpu", "cuda" or "cuda:N"."""
    num_threads: Annotated[int, OUTSIDE_RECIPE] = Field(default=1, ge=1, le=64)
    """CPU threads for one file. More files at once use more cores better than more threads."""
    timeout_s: Annotated[float, OUTSIDE_RECIPE] = Field(default=3600.0, gt=0)
    """Longest time for one file's decoding, or for the library's whole call, in seconds."""
