"""Queries to media files: the two stages that touch the network."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from datasets.outcomes import dropped
from datasets.resuming import subtract
from datasets.settings import recipe_of
from datasets.tables import read_table
from datasets.tombstones import is_tombstoned, read_tombstones
from datasets.wide import widen
from extract.folder_fetch import fetch_file
from extract.language import describe_language
from extract.selection import preselect, read_known
from extract.site.fetch import fetch_recipes, fetch_video
from extract.site.pacer import Pacer
from extract.sources import public_url
from flows.machinery.batches import TASK_OPTIONS, attempt_of, cut_batches, left_to_do, run_batches, settle_row
from flows.machinery.pacing import open_pacer, tell_forecast
from flows.machinery.progress import logger
from flows.machinery.run import Run
from flows.stages.permissions import heed_files, read_permitted

Row = dict[str, Any]
T = TypeVar("T")


def fetch_videos(run: Run) -> None:
    """Select and download every discovered video that was not decided: tables videos and media."""
    config = run.config
    if config.selection.language is not None:
        logger.info("%s", describe_language(config.selection.language))
    read_known(config.selection.known_lists)  # a list that cannot be read stops the run, not its first batch
    recipes = fetch_recipes(config.source, config.selection, config.download)
    mode = config.permissions.mode
    permitted = read_permitted(config) if mode in ("prefer", "require") else {}
    if mode == "require":  # else the tables would hold what was fetched without
        recipes = {table: recipe_of(recipe, "permitted", config.permissions) for table, recipe in recipes.items()}
    candidates = rank_videos(run)
    if mode == "prefer":
        candidates = candidates.take(pa.array(np.argsort(~_is_permitted(candidates, permitted), kind="stable")))
    candidates = candidates.slice(0, config.run.max_videos)
    todo = _left_to_fetch(candidates, run, recipes["videos"], permitted)
    with open_pacer(run) as pacer:
        tell_forecast(pacer, "videos", todo.num_rows)
        batches = cut_batches(todo, config.run.videos_per_batch)
        with open_threads(config.download.num_threads) as threads:
            fetching = (recipes, pacer, threads, permitted if mode == "require" else None)
            run_batches(fetch_batch, batches, run, *fetching, description="download videos")
        if pacer.open_until is not None:
            num_left = _left_to_fetch(candidates, run, recipes["videos"], permitted).num_rows
            tell_forecast(pacer, "videos", num_left)
    for table, recipe in recipes.items():
        run.record(table, recipe)


def _is_permitted(candidates: pa.Table, permitted: Mapping[str, bool]) -> np.ndarray:
    return np.array([permitted.get(video_id, False) for video_id in candidates["video_id"].to_pylist()], bool)


def _left_to_fetch(candidates: pa.Table, run: Run, recipe: str, permitted: Mapping[str, bool]) -> pa.Table:
    """What is undecided or to be tried again; what had no permission only once it has one."""
    retry = tuple(reason for reason in run.retry if reason != "no_permission")
    todo = left_to_do(candidates, replace(run, retry=retry), "videos", recipe)
    if not permitted:
        return todo
    may = candidates.filter(pa.array(_is_permitted(candidates, permitted)))
    return pa.concat_tables([todo, subtract(may, run.root, "videos", recipe, ["no_permission"])[1]])


def rank_videos(run: Run) -> pa.Table:
    """Every discovered video once, as the query in which it ranked best found it; best ranks first."""
    found = widen(read_table(run.root, "discoveries", ["video_id", "rank", "title", "duration_ms", "view_count"]))
    order = pc.sort_indices(found, [("rank", "ascending"), ("video_id", "ascending")])
    numbers = pc.dictionary_encode(found["video_id"].combine_chunks()).indices.take(order)
    first = np.unique(numbers.to_numpy(), return_index=True)[1]
    return found.take(order.take(np.sort(first)))


@contextmanager
def open_threads(num_threads: int) -> Iterator[ThreadPoolExecutor]:
    """The threads that fetch, shared by the batches under way: so many downloads at once, and none waits for a batch's
    last video. They close when a batch fails or the run is interrupted: what has not begun then never does.
    """
    threads = ThreadPoolExecutor(num_threads, "download")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


@task(name="download", **TASK_OPTIONS)
def fetch_batch(
    batch: pa.Table,
    run: Run,
    recipes: dict[str, str],
    pacer: Pacer,
    threads: ThreadPoolExecutor,
    permitted: Mapping[str, bool] | None = None,
) -> None:
    """Fetch a batch of videos; media rows are written before the videos rows that say they are settled.

    `permitted` says which answers there are where a permission is required; None: it is not.
    """
    fetch_row = partial(_fetch_row, run, pacer, read_tombstones(run.root), permitted)
    rows = do_until_closed(threads, fetch_row, batch.to_pylist())
    if run.config.permissions.mode != "off":
        rows = heed_files(run, rows)
    videos = [video for video, _ in rows if video is not None]
    media = [found for _, found in rows if found is not None]
    run.write("media", media, recipes["media"], attempt_of(batch))
    run.write("videos", videos, recipes["videos"], attempt_of(batch))


def do_until_closed(threads: ThreadPoolExecutor, function: Callable[[Row], T], rows: list[Row]) -> list[T]:
    """Results of the rows that began before another batch, or the end of the run, closed the threads."""
    begun: list[Future[T]] = []
    for row in rows:
        try:
            begun.append(threads.submit(function, row))
        except RuntimeError:  # an executor has no other word for it
            break
    results = []
    for future in begun:
        with suppress(CancelledError):
            results.append(future.result())
    return results


def _fetch_row(
    run: Run, pacer: Pacer, tombstones: frozenset[str], permitted: Mapping[str, bool] | None, discovery: Row
) -> tuple[Row | None, Row | None]:
    """One video's rows; none while the breaker is open or a required permission is unanswered, so that the next run
    finds the video undecided.
    """
    if pacer.open_until is not None:
        return None, None
    config = run.config
    video_id = discovery["video_id"]
    identity = {"video_id": video_id, "source": config.source.name}
    if is_tombstoned(tombstones, "video", video_id):
        return {**identity, **dropped("tombstoned")}, None
    rejected = preselect(discovery, config.selection)
    if rejected is None and permitted is not None:
        if video_id not in permitted:
            return None, None
        rejected = None if permitted[video_id] else dropped("no_permission")
    if rejected is not None:
        known = {name: discovery[name] for name in ("title", "duration_ms", "view_count")}
        return {**identity, **known, "url": public_url(video_id, config.source), **rejected}, None
    settings = (config.source, config.selection, config.download)
    if config.source.name == "folder":
        fetch = partial(fetch_file, discovery["title"], video_id, config.media_root, *settings)
    else:
        fetch = partial(fetch_video, video_id, config.media_root, *settings, pacer, tombstones)
    return settle_row(fetch, lambda outcome: ({**identity, **outcome}, None), config.run)
