"""What Prefect's pages show of a root, read back through the API."""

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows.config import Config
from flows.machinery.progress import tell
from flows.report.build import build_report
from flows.status import read_failures, read_funnel


@pytest.fixture
def shown(small_root, small_config):
    """The latest artifact of a key, after a run over the small root."""
    from flows.stages.curate import curate

    build_report(small_config)
    curate(small_config)
    return latest


def latest(key):
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)[0]


def test_the_funnel_is_a_table(shown, small_root):
    rows = json.loads(shown("funnel").data)
    assert [(row["stage"], row["items"]) for row in rows] == [
        (row.stage, row.items) for row in read_funnel(small_root).itertuples(index=False)
    ]


def test_failures_are_a_table_by_reason(shown, small_root):
    rows = json.loads(shown("not-ok").data)
    assert {(row["table"], row["reason"]) for row in rows} == set(
        read_failures(small_root)[["table", "reason"]].itertuples(index=False, name=None)
    )


def test_the_report_is_a_link(shown, small_root):
    assert (Path(small_root).resolve() / "report.html").as_uri() in shown("report").data


def test_every_long_stage_left_its_progress(shown):
    for key in ("search-queries", "download-videos", "segment-videos", "featurize", "train-avlnet"):
        artifact = shown(key)
        assert artifact.type == "progress" and float(artifact.data) == 100, key
    assert "segment videos: " in shown("segment-videos").description


def test_links_lead_to_the_site_where_one_is_named(tmp_path):
    from flows.machinery.artifacts import _address

    config = Config.model_validate({"root": str(tmp_path), "schedules": {"site": "https://example.org/data/"}})
    assert _address(config, "report.html") == "https://example.org/data/report.html"


@pytest.mark.parametrize(
    ("done", "total", "seconds", "words"),
    [
        (0, 100, 5, "cut: 0 of 100"),
        (40, 100, 200, "cut: 40 of 100, 12.0 a minute, about 300 s left"),
        (50, 100, 25, "cut: 50 of 100, 2.0 a second, about 25 s left"),
        (10, 1000, 3600, "cut: 10 of 1,000, 0.2 a minute, about 99.0 h left"),
        (100, 100, 50, "cut: 100 of 100, 2.0 a second"),
    ],
)
def test_progress_is_told_with_rate_and_time_left(done, total, seconds, words):
    assert tell("cut", done, total, seconds) == words
