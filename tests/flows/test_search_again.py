"""Queries are searched again when their search is old: never-searched ones first, then the oldest."""

from datetime import UTC, datetime, timedelta

import pytest

from datasets.outcomes import OK
from datasets.settings import recipe_of
from datasets.tables import make_table, write_part
from flows.config import load_config
from flows.machinery.run import Run
from flows.stages import search

DAYS_AGO = {"b": 40, "c": 90, "d": 3}


@pytest.fixture
def run(tmp_path):
    queries = tmp_path / "queries.txt"
    queries.write_text("b\nc\nd\na\n")
    config = load_config(None, str(tmp_path / "root"), (f"search.queries={queries}", "search.again_after_days=30"))
    recipe = recipe_of(config.search, config.source)
    for query, days in DAYS_AGO.items():
        row = {"query": query, "searched_at": datetime.now(UTC) - timedelta(days=days), **OK}
        write_part(config.root, "searches", make_table("searches", [row], recipe=recipe, run_id="x"))
    return Run(config, "x")


def planned(run, monkeypatch, **settings):
    """Queries of the next run, in order, with their attempts."""
    config = run.config.model_copy(update={"search": run.config.search.model_copy(update=settings)})
    batches = []
    monkeypatch.setattr(search, "run_batches", lambda task, found, *_, **__: batches.extend(found))
    search.find_videos(Run(config, "x"))
    return [(row["query"], row["attempt"]) for batch in batches for row in batch.to_pylist()]


def test_new_queries_come_first_then_the_one_searched_longest_ago(run, monkeypatch):
    assert planned(run, monkeypatch) == [("a", 0), ("c", 1), ("b", 1)]


def test_a_run_searches_no_more_than_it_may(run, monkeypatch):
    assert planned(run, monkeypatch, max_per_run=2) == [("a", 0), ("c", 1)]


def test_without_an_age_nothing_is_searched_twice(run, monkeypatch):
    assert planned(run, monkeypatch, again_after_days=None) == [("a", 0)]
