"""How permission to train is asked for, and what follows from the answers."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from datasets.settings import OUTSIDE_RECIPE, Settings
from extract.sources import YOUTUBE_HOSTS, SourceSettings, check_address, is_allowed_url

TRAINABILITY = "https://youtube.googleapis.com/youtube/v3/videoTrainability?id={video_id}"
"""Where YouTube says who may train on a video: developers.google.com/youtube/data/video-trainability."""


class PermissionSettings(Settings):
    """Whether owners allow training: YouTube's setting for third parties; what a host says to all of data mining."""

    mode: Annotated[Literal["off", "record", "prefer", "require"], OUTSIDE_RECIPE] = "off"
    """off: nobody is asked. record: the answers are kept. prefer: what is permitted is fetched first. require: nothing
    else is fetched."""
    parties: tuple[str, ...] = ()
    """Names under which an owner may have permitted you, where the answer is a list of parties."""
    trainability_url: Annotated[str, AfterValidator(partial(check_address, "trainability_url"))] | None = None
    """Address that answers as videoTrainability does, with one `{video_id}`; None: YouTube's, for YouTube's videos."""
    key_file: Annotated[Path | None, OUTSIDE_RECIPE] = None
    """File with an API key, sent in a header to that address alone. YouTube documents that none is needed."""
    ask_again_after_days: Annotated[float, OUTSIDE_RECIPE] = Field(default=1.0, gt=0)
    """An answer counts for so many days, then it is asked for again: an owner may have changed their mind."""
    pause_s: Annotated[float, OUTSIDE_RECIPE] = Field(default=0.2, ge=0, le=60)
    """Seconds between two questions of a thread (`download.num_threads`)."""
    timeout_s: Annotated[float, OUTSIDE_RECIPE] = Field(default=20.0, gt=0)
    """Seconds for one answer."""


def trainability_address(settings: PermissionSettings, source: SourceSettings) -> str | None:
    """The address that is asked for each video, with `{video_id}` in it; None where the platform has none."""
    return settings.trainability_url or (TRAINABILITY if is_allowed_url(source.watch_url, YOUTUBE_HOSTS) else None)
