"""Queries to media files: the two stages that touch the network."""

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from datasets.outcomes import OK, dropped
from datasets.queries import Query
from datasets.settings import recipe_of
from datasets.tables import make_table, read_table, write_part
from datasets.tombstones import hide_id, is_tombstoned, read_tombstones
from extract.selection import preselect, read_known
from extract.site.fetch import fetch_recipes, fetch_video, search_videos
from extract.site.pacer import Pacer
from extract.sources import video_id_of, watch_url
from flows.machinery.batches import TASK_OPTIONS, Run, cut_batches, left_to_do, run_batches, settle_row
from flows.machinery.progress import logger
from flows.stages.plan import plan_queries

Row = dict[str, Any]
T = TypeVar("T")


def find_videos(run: Run) -> None:
    """Search every query that was not searched: tables searches and discoveries."""
    config = run.config
    recipe = recipe_of(config.search, config.source)
    queries = _without_tombstoned(run, plan_queries(config))
    asked = pa.Table.from_pylist([asdict(query) for query in queries], schema=_QUERY_SCHEMA)
    todo = pa.concat_tables(
        [left_to_do(asked, run, "searches", recipe), _searched_long_ago(asked, run, recipe)],
        promote_options="permissive",
    ).slice(0, config.search.max_per_run)
    with open_pacer(run) as pacer:
        tell_forecast(pacer, "queries", todo.num_rows)
        batches = cut_batches(todo, config.run.queries_per_batch)
        run_batches(search_batch, batches, run, recipe, pacer, description="search queries")
        if pacer.open_until is not None:
            tell_forecast(pacer, "queries", left_to_do(asked, run, "searches", recipe).num_rows)
    run.record("discoveries", recipe)
    run.record("searches", recipe)


def _searched_long_ago(asked: pa.Table, run: Run, recipe: str) -> pa.Table:
    """Queries whose last search is old enough to be done again, as its next attempt; the oldest first."""
    days = run.config.search.again_after_days
    done = read_table(run.root, "searches", ["query", "status", "searched_at", "attempt"], recipe=recipe)
    if days is None:
        return asked.slice(0, 0).append_column("attempt", pa.array([], pa.int32()))
    before = pa.scalar(datetime.now(UTC) - timedelta(days=days), done.schema.field("searched_at").type)
    old = done.filter(pc.and_(pc.equal(done["status"], "ok"), pc.less(done["searched_at"], before)))
    next_attempt = pc.cast(pc.add(old["attempt"], 1), pa.int32())
    old = old.select(["query", "searched_at"]).append_column("attempt", next_attempt)
    again = asked.join(old, keys="query", join_type="inner").sort_by(
        [("searched_at", "ascending"), ("query", "ascending")]
    )
    return again.drop_columns("searched_at")


def _without_tombstoned(run: Run, queries: list[Query]) -> list[Query]:
    """Ids that were taken down are not even asked; whatever else a query is, it names no video."""
    if run.config.source.name != "ids":
        return queries
    tombstones = read_tombstones(run.root)
    asked = [item for item in queries if not is_tombstoned(tombstones, "video", video_id_of(item.query))]
    if len(asked) < len(queries):
        logger.warning("%d videos of the list were taken down and stay out", len(queries) - len(asked))
    return asked


_QUERY_SCHEMA = pa.schema([(name, pa.string()) for name in ("query", "dish", "technique", "region")])


@contextmanager
def open_pacer(run: Run) -> Iterator[Pacer]:
    """The pace that every request of this run keeps; what was spent is written even when the run is interrupted."""
    pacer = Pacer(run.root, run.config.source.name, run.config.pacer, run.run_id)
    try:
        yield pacer
    finally:
        pacer.save()


def tell_forecast(pacer: Pacer, what: str, num_left: int) -> None:
    """Say when so many more will be done, and whether the site asked us to stop before."""
    done = f"{pacer.finish_time(num_left):%F %H:%M} UTC"
    if pacer.open_until is not None:
        logger.warning("%s: %d %s left, done about %s", pacer.why_closed, num_left, what, done)
    elif num_left and pacer.is_enabled:
        logger.info("%d %s left, done about %s or sooner", num_left, what, done)


@task(name="search", **TASK_OPTIONS)
def search_batch(batch: pa.Table, run: Run, recipe: str, pacer: Pacer) -> None:
    """Search a batch of queries; discoveries are written before the searches that say they are complete."""
    searches: list[Row] = []
    discoveries: list[Row] = []
    for row in batch.drop_columns("attempt").to_pylist():
        if pacer.open_until is not None:
            break
        search, found = settle_row(partial(_search_row, run, row, pacer), lambda outcome: (outcome, []), run.config.run)
        searches.append({**row, **search, "num_results": len(found), "searched_at": datetime.now(UTC)})
        discoveries.extend(found)
    made = {"recipe": recipe, "run_id": run.run_id, "attempt": batch["attempt"][0].as_py()}
    write_part(run.root, "discoveries", make_table("discoveries", discoveries, **made), batch["query"].to_pylist())
    write_part(run.root, "searches", make_table("searches", searches, **made))


def _search_row(run: Run, row: Row, pacer: Pacer) -> tuple[Row, list[Row]]:
    found = search_videos(row["query"], run.config.search.depth, run.config.source, pacer)
    tombstones = read_tombstones(run.root)
    return OK, [_hide_tombstoned(discovery, tombstones) for discovery in found]


def _hide_tombstoned(discovery: Row, tombstones: frozenset[str]) -> Row:
    """A discovery as it is; of a video that was taken down only the hash and where it stood."""
    video_id = hide_id(tombstones, discovery["video_id"])
    if video_id == discovery["video_id"]:
        return discovery
    return {"query": discovery["query"], "video_id": video_id, "rank": discovery["rank"], **OK}


def fetch_videos(run: Run) -> None:
    """Select and download every discovered video that was not decided: tables videos and media."""
    config = run.config
    read_known(config.selection.known_lists)  # a list that cannot be read stops the run, not its first batch
    recipes = fetch_recipes(config.source, config.selection, config.download)
    candidates = rank_videos(run).slice(0, config.run.max_videos)
    todo = left_to_do(candidates, run, "videos", recipes["videos"])
    with open_pacer(run) as pacer:
        tell_forecast(pacer, "videos", todo.num_rows)
        batches = cut_batches(todo, config.run.videos_per_batch)
        with open_threads(config.download.num_threads) as threads:
            run_batches(fetch_batch, batches, run, recipes, pacer, threads, description="download videos")
        if pacer.open_until is not None:
            tell_forecast(pacer, "videos", left_to_do(candidates, run, "videos", recipes["videos"]).num_rows)
    for table, recipe in recipes.items():
        run.record(table, recipe)


def rank_videos(run: Run) -> pa.Table:
    """Every discovered video once, as the query in which it ranked best found it; best ranks first."""
    found = read_table(run.root, "discoveries", ["video_id", "rank", "title", "duration_ms", "view_count"])
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
def fetch_batch(batch: pa.Table, run: Run, recipes: dict[str, str], pacer: Pacer, threads: ThreadPoolExecutor) -> None:
    """Fetch a batch of videos; media rows are written before the videos rows that say they are settled."""
    fetch_row = partial(_fetch_row, run, pacer, read_tombstones(run.root))
    rows = do_until_closed(threads, fetch_row, batch.to_pylist())
    videos = [video for video, _ in rows if video is not None]
    media = [found for _, found in rows if found is not None]
    made = {"run_id": run.run_id, "attempt": batch["attempt"][0].as_py()}
    write_part(run.root, "media", make_table("media", media, recipe=recipes["media"], **made))
    write_part(run.root, "videos", make_table("videos", videos, recipe=recipes["videos"], **made))


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


def _fetch_row(run: Run, pacer: Pacer, tombstones: frozenset[str], discovery: Row) -> tuple[Row | None, Row | None]:
    """One video's rows; none while the breaker is open, so that the next run finds the video undecided."""
    if pacer.open_until is not None:
        return None, None
    config = run.config
    video_id = discovery["video_id"]
    identity = {"video_id": video_id, "source": config.source.name}
    if is_tombstoned(tombstones, "video", video_id):
        return {**identity, **dropped("tombstoned")}, None
    rejected = preselect(discovery, config.selection)
    if rejected is not None:
        known = {name: discovery[name] for name in ("title", "duration_ms", "view_count")}
        return {**identity, **known, "url": watch_url(video_id, config.source), **rejected}, None
    settings = (config.source, config.selection, config.download)
    fetch = partial(fetch_video, video_id, run.media_root, *settings, pacer, tombstones)
    return settle_row(fetch, lambda outcome: ({**identity, **outcome}, None), config.run)


def media_table(run: Run) -> pa.Table:
    """Downloaded videos: video_id and the absolute path of the file."""
    media = read_table(run.root, "media", ["video_id", "media_path", "status"])
    media = media.filter(pc.equal(media["status"], "ok"))
    # Not Path.resolve for each: of a million videos that was half of all planning.
    paths = pc.binary_join_element_wise(str(run.media_root.resolve()), media["media_path"], "/")
    return pa.table({"video_id": media["video_id"], "media_path": paths})
