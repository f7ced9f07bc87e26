"""What runs on a schedule and nobody starts by hand: the day's search, a release when there is enough, tidying up."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.releases.layout import list_releases, release_path
from datasets.splits.certificate import read_certificate
from datasets.splits.draw import SplitError
from datasets.tables import read_ok
from flows.config import Config
from flows.machinery.prepare import NothingToDoError, prepared
from flows.machinery.run import open_run
from flows.report.build import build_report
from flows.report.gallery import build_gallery
from flows.stages.curate import find_clips
from flows.stages.download import fetch_videos
from flows.stages.featurize import featurize
from flows.stages.permissions import ask_permissions
from flows.stages.pipeline import pipeline
from flows.stages.publish import check_is_local, publish
from flows.stages.search import find_videos
from flows.stages.split import assign_splits
from flows.stages.withdrawals import take_down_withdrawn
from flows.status import transient_reasons


@flow(name="curate-daily", task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # upstream
@prepared("curate")
def curate_daily(config: Config) -> None:
    """Search for new videos within the day's request budget, download, segment, clip; what met trouble is tried again.

    Where permission is asked for, videos whose owner withdrew it are taken down before anything is fetched.

    Args:
        config: the whole configuration; `schedules` says how much a day may ask.
    """
    with open_run(within_budget(config), transient_reasons()) as run:
        find_videos(run)
        ask_permissions(run)
        take_down_withdrawn(run)
        fetch_videos(run)
        find_clips(run)
    build_report(config)


@flow(name="pipeline-with-pages")
@prepared("pipeline")
def pipeline_with_pages(config: Config) -> None:
    """The whole job, then the report and the gallery that show it.

    Args:
        config: the whole configuration.
    """
    pipeline(config)
    build_report(config)
    build_gallery(config)


def within_budget(config: Config) -> Config:
    """The configuration of one day: what `schedules` allows, where search and pacer say nothing stricter."""
    day, search, pacer = config.schedules, config.search, config.pacer
    searching = {
        "max_per_run": min(search.max_per_run or day.searches_a_day, day.searches_a_day),
        "again_after_days": search.again_after_days or day.search_again_after_days,
    }
    asking = {"max_per_day": min(pacer.max_per_day or day.requests_a_day, day.requests_a_day)}
    return config.model_copy(
        update={"search": search.model_copy(update=searching), "pacer": pacer.model_copy(update=asking)}
    )


@flow(name="publish-when-enough")
@prepared("publish-when-enough")
def publish_when_enough(config: Config) -> str:
    """Draw the splits, compute features and build the next release, once enough clips are new since the last.

    Args:
        config: the whole configuration; `schedules` says how many are enough and where a release goes.

    Returns:
        The version.

    Raises:
        NothingToDoError: too few new clips, or too few for the splits.
    """
    check_is_local(config.root)
    num_new, enough = count_new_clips(config.root), config.schedules.publish_after_clips
    if num_new < enough:
        raise NothingToDoError(f"{num_new} new clips, fewer than schedules.publish_after_clips = {enough}")
    with open_run(config) as run:
        try:
            assign_splits(run)
        except SplitError as error:
            raise NothingToDoError(str(error)) from error
    featurize(config)
    version = publish(config, to=config.schedules.publish_to)
    build_report(config)
    return version


def count_new_clips(root: str) -> int:
    """Kept clips beyond those that the last release was drawn from; all of them before the first."""
    num_kept = int(read_ok(root, "clips", ["clip_id"]).num_rows)
    known = list_releases(root)
    certificate = read_certificate(release_path(root, known[-1])) if known else None
    num_known: int = certificate["pool"]["clips"] if certificate else 0
    return max(num_kept - num_known, 0)
