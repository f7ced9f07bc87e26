"""Which known videos can still be had: asked politely, without a download, and kept day by day."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.outcomes import GONE_REASONS
from datasets.settings import recipe_of
from datasets.tables import read_ok, read_table
from datasets.tombstones import is_tombstoned, read_tombstones
from extract.site.fetch import check_video
from extract.site.pacer import Pacer
from flows.config import Config, ConfigError
from flows.machinery.batches import TASK_OPTIONS, attempt_of, cut_batches, left_to_do, run_batches, settle_row
from flows.machinery.pacing import open_pacer, tell_forecast
from flows.machinery.prepare import prepared
from flows.machinery.run import Run, open_run

Row = dict[str, Any]


@flow(name="check-availability", task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # upstream
@prepared("check-availability")
def check_availability(config: Config, retry: tuple[str, ...] = ()) -> None:
    """Ask once a day (UTC) for each selected video that is not known to be gone: table availability.

    Args:
        config: the whole configuration.
        retry: reasons whose videos are asked for again on the same day.
    """
    if config.source.name == "folder":
        raise ConfigError(
            "--check-availability asks a site, and source.name = 'folder' has none: `curate` looks at files"
        )
    with open_run(config, retry) as run:
        check_videos(run)


def check_videos(run: Run) -> None:
    """Ask for the videos that were not asked for today."""
    with open_pacer(run) as pacer:
        day = f"{datetime.now(UTC):%F}"
        # A day is a recipe of its own, so that resuming within it is the one mechanism; none is ever made current.
        recipe = recipe_of("availability", day)
        todo = left_to_do(_list_known(run, day), run, "availability", recipe)
        tell_forecast(pacer, "videos", todo.num_rows)
        batches = cut_batches(todo, run.config.run.videos_per_batch)
        run_batches(check_batch, batches, run, day, recipe, pacer, description="check availability")
        if pacer.open_until is not None:
            num_left = left_to_do(_list_known(run, day), run, "availability", recipe).num_rows
            tell_forecast(pacer, "videos", num_left)


def _list_known(run: Run, day: str) -> pa.Table:
    """Selected videos that no earlier day found gone: what was removed is not asked for again."""
    videos = read_ok(run.root, "videos", ["video_id"])["video_id"]
    checked = read_table(run.root, "availability", ["video_id", "day", "reason"])
    is_gone = pc.and_(pc.is_in(checked["reason"], pa.array(list(GONE_REASONS))), pc.less(checked["day"], day))
    gone = checked.filter(is_gone)["video_id"]
    tombstones = read_tombstones(run.root)
    known = videos.filter(pc.invert(pc.is_in(videos, gone))).to_pylist()
    ids = [video_id for video_id in known if not is_tombstoned(tombstones, "video", video_id)]
    return pa.table({"video_id": pa.array(ids, pa.string())})


@task(name="check", **TASK_OPTIONS)
def check_batch(batch: pa.Table, run: Run, day: str, recipe: str, pacer: Pacer) -> None:
    """Ask for a batch of videos; none has a row while the breaker is open."""

    def check_row(video_id: str) -> Row | None:
        if pacer.open_until is not None:
            return None
        check = partial(check_video, video_id, run.config.source, run.config.download, pacer)
        outcome = settle_row(check, lambda failure: failure, run.config.run)
        return {"video_id": video_id, "day": day, "checked_at": datetime.now(UTC), **outcome}

    with ThreadPoolExecutor(run.config.download.num_threads) as threads:
        rows = list(threads.map(check_row, batch["video_id"].to_pylist()))
    run.write("availability", filter(None, rows), recipe, attempt_of(batch))
