"""Queries to media files: the two stages that touch the network."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from datasets.queries import Query, load_queries
from datasets.schemas import OK
from datasets.settings import recipe_of
from datasets.tables import make_table, read_table, write_part
from extract.pacer import Pacer
from extract.selection import preselect
from extract.sources import read_ids_file, watch_url
from extract.youtube import fetch_recipes, fetch_video, search_videos
from flows.batches import TASK_OPTIONS, Run, cut_batches, left_to_do, run_batches, settle_row
from flows.progress import logger

Row = dict[str, Any]


def find_videos(run: Run) -> None:
    """Search every query that was not searched: tables searches and discoveries."""
    config = run.config
    recipe = recipe_of(config.search, config.source)
    queries = _list_queries(run)[: config.search.max_queries]
    asked = pa.Table.from_pylist([asdict(query) for query in queries], schema=_QUERY_SCHEMA)
    todo = left_to_do(asked, run, "searches", recipe)
    with open_pacer(run) as pacer:
        batches = cut_batches(todo, config.run.queries_per_batch)
        run_batches(search_batch, batches, run, recipe, pacer, description="search queries")
    run.record("discoveries", recipe)
    run.record("searches", recipe)


def _list_queries(run: Run) -> list[Query]:
    """What is asked: the queries of a list, or each id, channel and playlist of a file."""
    if run.config.source.name == "ids":
        if run.config.source.ids_file is None:
            raise ValueError('source.ids_file is not set: with source.name = "ids", name a file with one id a line')
        return [Query(address) for address in read_ids_file(run.config.source.ids_file)]
    return load_queries(run.config.search.queries)


_QUERY_SCHEMA = pa.schema([(name, pa.string()) for name in ("query", "dish", "technique", "region")])


@contextmanager
def open_pacer(run: Run) -> Iterator[Pacer]:
    """The pace that every request of this run keeps; what was spent is written even when the run is interrupted."""
    pacer = Pacer(run.root, run.config.source.name, run.config.pacer, run.run_id)
    try:
        yield pacer
    finally:
        pacer.save()
        if pacer.open_until is not None:
            logger.warning(
                "the site asked us to stop: what is left goes on after %s", f"{pacer.open_until:%F %H:%M} UTC"
            )


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
    return OK, search_videos(row["query"], run.config.search.depth, run.config.source, pacer)


def fetch_videos(run: Run) -> None:
    """Select and download every discovered video that was not decided: tables videos and media."""
    config = run.config
    recipes = fetch_recipes(config.source, config.selection, config.download)
    candidates = _best_ranked(run).slice(0, config.run.max_videos)
    todo = left_to_do(candidates, run, "videos", recipes["videos"])
    with open_pacer(run) as pacer:
        batches = cut_batches(todo, config.run.videos_per_batch)
        run_batches(fetch_batch, batches, run, recipes, pacer, description="download videos")
    for table, recipe in recipes.items():
        run.record(table, recipe)


def _best_ranked(run: Run) -> pa.Table:
    """Every discovered video once, as the query in which it ranked best found it; best ranks first."""
    found = read_table(run.root, "discoveries", ["video_id", "rank", "title", "duration_ms", "view_count"])
    found = found.sort_by([("rank", "ascending"), ("video_id", "ascending")])
    first = found.group_by("video_id", use_threads=False).aggregate(
        [(name, "first") for name in found.column_names[1:]]
    )
    return first.rename_columns(found.column_names)


@task(name="download", **TASK_OPTIONS)
def fetch_batch(batch: pa.Table, run: Run, recipes: dict[str, str], pacer: Pacer) -> None:
    """Fetch a batch of videos; media rows are written before the videos rows that say they are settled."""
    with ThreadPoolExecutor(run.config.download.num_threads) as threads:
        rows = list(threads.map(partial(_fetch_row, run, pacer), batch.to_pylist()))
    videos = [video for video, _ in rows if video is not None]
    media = [found for _, found in rows if found is not None]
    made = {"run_id": run.run_id, "attempt": batch["attempt"][0].as_py()}
    write_part(run.root, "media", make_table("media", media, recipe=recipes["media"], **made))
    write_part(run.root, "videos", make_table("videos", videos, recipe=recipes["videos"], **made))


def _fetch_row(run: Run, pacer: Pacer, discovery: Row) -> tuple[Row | None, Row | None]:
    """One video's rows; none while the breaker is open, so that the next run finds the video undecided."""
    if pacer.open_until is not None:
        return None, None
    config = run.config
    video_id = discovery["video_id"]
    identity = {"video_id": video_id, "source": config.source.name}
    rejected = preselect(discovery, config.selection)
    if rejected is not None:
        known = {name: discovery[name] for name in ("title", "duration_ms", "view_count")}
        return {**identity, **known, "url": watch_url(video_id, config.source), **rejected}, None
    fetch = partial(fetch_video, video_id, run.media_root, config.source, config.selection, config.download, pacer)
    return settle_row(fetch, lambda outcome: ({**identity, **outcome}, None), config.run)


def media_table(run: Run) -> pa.Table:
    """Downloaded videos: video_id and the absolute path of the file."""
    media = read_table(run.root, "media", ["video_id", "media_path", "status"])
    media = media.filter(pc.equal(media["status"], "ok"))
    paths = [str((run.media_root / path).resolve()) for path in media["media_path"].to_pylist()]
    return pa.table({"video_id": media["video_id"], "media_path": pa.array(paths, pa.string())})
