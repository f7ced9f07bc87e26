"""Queries to media files: the two stages that touch the network."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from extract.sources import search_videos
from extract.youtube import fetch_video
from prefect import task

from datasets.queries import load_queries
from datasets.schemas import OK
from datasets.settings import recipe_of
from datasets.tables import make_table, read_table, write_part
from flows.batches import TASK_OPTIONS, Run, cut_batches, left_to_do, run_batches, settle_row

Row = dict[str, Any]


def find_videos(run: Run) -> None:
    """Search every query that was not searched: tables searches and discoveries."""
    config = run.config
    recipe = recipe_of(config.search, config.source)
    queries = load_queries(config.search.queries)[: config.search.max_queries]
    facets = pa.Table.from_pylist([vars(query) for query in queries], schema=_QUERY_SCHEMA)
    todo = left_to_do(facets, run, "searches", recipe)
    batches = cut_batches(todo, config.run.queries_per_batch)
    run_batches(search_batch, batches, run, recipe, description="search queries")
    run.record("discoveries", recipe)
    run.record("searches", recipe)


_QUERY_SCHEMA = pa.schema([(name, pa.string()) for name in ("query", "dish", "technique", "region")])


@task(name="search", **TASK_OPTIONS)
def search_batch(batch: pa.Table, run: Run, recipe: str) -> None:
    """Search a batch of queries; discoveries are written before the searches that say they are complete."""
    searches, discoveries = [], []
    for row in batch.to_pylist():
        attempt = row.pop("attempt")
        found = settle_row(
            lambda query=row["query"]: search_videos(query, run.config.search.depth, run.config.source),
            lambda outcome: outcome,
            run.config.run,
        )
        outcome = OK if isinstance(found, list) else found
        found = found if isinstance(found, list) else []
        searches.append({**row, **outcome, "num_results": len(found), "searched_at": datetime.now(UTC)})
        discoveries.extend(found)
    made = {"recipe": recipe, "run_id": run.run_id, "attempt": attempt}
    write_part(run.root, "discoveries", make_table("discoveries", discoveries, **made), batch["query"].to_pylist())
    write_part(run.root, "searches", make_table("searches", searches, **made))


def fetch_videos(run: Run) -> None:
    """Select and download every discovered video that was not decided: tables videos and media."""
    config = run.config
    recipes = {
        "videos": recipe_of(config.source, config.selection, config.download),
        "media": recipe_of(config.source, config.download),
    }
    discoveries = read_table(run.root, "discoveries", ["video_id", "rank"])
    candidates = (
        discoveries.group_by("video_id")
        .aggregate([("rank", "min")])
        .sort_by([("rank_min", "ascending"), ("video_id", "ascending")])
    )
    todo = left_to_do(candidates.select(["video_id"]), run, "videos", recipes["videos"])
    batches = cut_batches(todo, config.run.videos_per_batch)
    run_batches(fetch_batch, batches, run, recipes, description="download videos")
    for table, recipe in recipes.items():
        run.record(table, recipe)


@task(name="download", **TASK_OPTIONS)
def fetch_batch(batch: pa.Table, run: Run, recipes: dict[str, str]) -> None:
    """Fetch a batch of videos; media rows are written before the videos rows that say they are settled."""
    with ThreadPoolExecutor(run.config.download.num_threads) as threads:
        rows = list(threads.map(lambda video_id: _fetch_row(run, video_id), batch["video_id"].to_pylist()))
    made = {"run_id": run.run_id, "attempt": batch["attempt"][0].as_py()}
    media = make_table("media", [media for _, media in rows if media], recipe=recipes["media"], **made)
    write_part(run.root, "media", media)
    write_part(run.root, "videos", make_table("videos", [video for video, _ in rows], recipe=recipes["videos"], **made))


def _fetch_row(run: Run, video_id: str) -> tuple[Row, Row | None]:
    config = run.config
    return settle_row(
        lambda: fetch_video(video_id, run.media_root, config.source, config.selection, config.download),
        lambda outcome: ({"video_id": video_id, "source": config.source.name, **outcome}, None),
        config.run,
    )


def media_table(run: Run) -> pa.Table:
    """Downloaded videos: video_id and the absolute path of the file."""
    media = read_table(run.root, "media", ["video_id", "media_path", "sha256", "status"])
    media = media.filter(pc.equal(media["status"], "ok"))
    paths = [str((run.media_root / path).resolve()) for path in media["media_path"].to_pylist()]
    return pa.table({"video_id": media["video_id"], "media_path": pa.array(paths, pa.string())})
