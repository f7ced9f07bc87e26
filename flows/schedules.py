"""When the deployments run, and what a run that nobody watches may spend."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from datasets.settings import Settings

NEVER = ""


def _check_when(when: str | int) -> str | int:
    if isinstance(when, int) and when < 1:
        raise ValueError("an interval is at least 1 second")
    if isinstance(when, str) and when != NEVER:
        # Slow to import, and the defaults need no check.
        from prefect.client.schemas.schedules import CronSchedule

        CronSchedule(cron=when)
    return when


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("no such time zone: names are like Asia/Tokyo") from error
    return name


When = Annotated[int | str, AfterValidator(_check_when)]
"""A cron string ("0 3 * * *"), or every so many seconds; an empty string: only when somebody starts it."""


class ScheduleSettings(Settings):
    """When each deployment of `serve` runs. None of it changes a result."""

    timezone: Annotated[str, AfterValidator(_check_timezone)] = "UTC"
    """Time zone of the cron strings."""
    curate_daily: When = "0 3 * * *"
    regenerate: When = NEVER
    publish: When = "0 12 * * *"
    pipeline: When = "0 6 * * 0"
    refresh_availability: When = "0 9 * * 6"
    housekeeping: When = "0 1 * * 0"
    max_late_s: int = Field(default=3600, ge=1)
    """A scheduled run that begins later than this was missed: it is skipped with a reason."""
    requests_a_day: int = Field(default=4000, ge=1)
    """`curate-daily` asks the site at most so often in one UTC day, all runs together."""
    searches_a_day: int = Field(default=200, ge=1)
    """`curate-daily` searches so many queries: those never searched, then those searched longest ago."""
    search_again_after_days: int = Field(default=30, ge=1)
    """`curate-daily` searches a query again after so many days, for videos that are new."""
    publish_after_clips: int = Field(default=500, ge=1)
    """`publish` builds a release when so many clips came to those that the last one was drawn from."""
    publish_to: tuple[str, ...] = ()
    """Where the deployment `publish` sends a release: folders, s3://BUCKET/PREFIX, hf://datasets/OWNER/NAME. The
    command sends it where its `--to` says, and only there."""
    regenerate_from: tuple[str, ...] = ()
    """Release or clip lists that `regenerate` fetches, as on its command line."""
    regenerate_root: str | None = None
    """Root of its own that `regenerate` fills; ROOT_regenerated when not set."""
    keep_days: int = Field(default=30, ge=1)
    """`housekeeping` deletes run records and cached copies of features older than this."""
    site: str | None = None
    """Web address under which the root is served, for links in Prefect's pages; file:// when not set."""
