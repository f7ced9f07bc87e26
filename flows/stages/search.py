"""Queries to discoveries: what each query of the list finds."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from datasets.outcomes import OK
from datasets.settings import recipe_of
from datasets.tables import read_table
from datasets.tombstones import hide_id, is_tombstoned, read_tombstones
from extract.site.fetch import search_videos
from extract.site.pacer import Pacer
from extract.sources import video_id_of
from flows.machinery.batches import TASK_OPTIONS, attempt_of, cut_batches, left_to_do, run_batches, settle_row
from flows.machinery.forecast import plan_queries
from flows.machinery.pacing import open_pacer, tell_forecast
from flows.machinery.progress import logger
from flows.machinery.run import Run

Row = dict[str, Any]


def find_videos(run: Run) -> None:
    """Search every query that was not searched: tables searches and discoveries."""
    config = run.config
    recipe = recipe_of(config.search, config.source)
    queries = plan_queries(config)
    if config.source.name == "ids":  # ids that were taken down are not even asked; no other query names a video
        tombstones = read_tombstones(run.root)
        asked_for = [q for q in queries if not is_tombstoned(tombstones, "video", video_id_of(q.query) or q.query)]
        if len(asked_for) < len(queries):
            logger.warning("%d videos of the list were taken down and stay out", len(queries) - len(asked_for))
        queries = asked_for
    facets = dict.fromkeys(facet for query in queries for facet in query.facets)
    columns = pa.schema([(name, pa.string()) for name in ("query", *facets)])
    asked = pa.Table.from_pylist([{"query": query.query, **query.facets} for query in queries], schema=columns)
    todo = left_to_do(asked, run, "searches", recipe)
    if config.search.again_after_days is not None:
        # Queries whose last search is old enough to be done again, as its next attempt; the oldest first.
        done = read_table(run.root, "searches", ["query", "status", "searched_at", "attempt"], recipe=recipe)
        days = timedelta(days=config.search.again_after_days)
        before = pa.scalar(datetime.now(UTC) - days, done.schema.field("searched_at").type)
        old = done.filter(pc.and_(pc.equal(done["status"], "ok"), pc.less(done["searched_at"], before)))
        next_attempt = pc.cast(pc.add(old["attempt"], 1), pa.int32())
        old = old.select(["query", "searched_at"]).append_column("attempt", next_attempt)
        order = [("searched_at", "ascending"), ("query", "ascending")]
        again = asked.join(old, keys="query", join_type="inner").sort_by(order).drop_columns("searched_at")
        todo = pa.concat_tables([todo, again], promote_options="permissive")
    todo = todo.slice(0, config.search.max_per_run)
    with open_pacer(run) as pacer:
        tell_forecast(pacer, "queries", todo.num_rows)
        batches = cut_batches(todo, config.run.queries_per_batch)
        run_batches(search_batch, batches, run, recipe, pacer, description="search queries")
        if pacer.open_until is not None:
            tell_forecast(pacer, "queries", left_to_do(asked, run, "searches", recipe).num_rows)
    run.record("discoveries", recipe)
    run.record("searches", recipe)


@task(name="search", **TASK_OPTIONS)
def search_batch(batch: pa.Table, run: Run, recipe: str, pacer: Pacer) -> None:
    """Search a batch of queries; discoveries are written before the searches that say they are complete."""
    searches: list[Row] = []
    discoveries: list[Row] = []
    tombstones = read_tombstones(run.root)
    for row in batch.drop_columns("attempt").to_pylist():
        if pacer.open_until is not None:
            break
        search = partial(search_videos, row["query"], run.config.search.depth, run.config.source, pacer)
        settled = settle_row(search, lambda failure: failure, run.config.run)
        found, outcome = (settled, OK) if isinstance(settled, list) else ([], settled)
        searches.append({**row, **outcome, "num_results": len(found), "searched_at": datetime.now(UTC)})
        for discovery in found:
            video_id = hide_id(tombstones, discovery["video_id"])
            if video_id != discovery["video_id"]:  # of what was taken down only the hash is kept, and where it stood
                discovery = {"query": discovery["query"], "video_id": video_id, "rank": discovery["rank"], **OK}
            discoveries.append(discovery)
    run.write("discoveries", discoveries, recipe, attempt_of(batch), batch["query"].to_pylist())
    run.write("searches", searches, recipe, attempt_of(batch))
