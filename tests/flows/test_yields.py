"""Yield of each facet of the queries."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datasets.outcomes import OK, dropped, failed
from datasets.tables import make_table, write_part
from flows.__main__ import app
from flows.config import Config
from flows.report.build import build_report
from flows.status import read_yields

MADE = {"recipe": "r", "run_id": "x"}


@pytest.fixture
def root(tmp_path):
    searches = [
        {"query": "肉じゃが 作り方", "dish": "肉じゃが", "technique": "煮る", **OK},
        {"query": "肉じゃが レシピ", "dish": "肉じゃが", "technique": "煮る", **OK},
        {"query": "天ぷら 作り方", "dish": "天ぷら", "technique": "揚げる", **OK},
        {"query": "料理", **OK},
        {"query": "寿司 作り方", "dish": "寿司", **failed("network")},
    ]
    found = {"肉じゃが 作り方": "ab", "肉じゃが レシピ": "bc", "天ぷら 作り方": "cd", "料理": "e"}
    discoveries = [
        {"query": query, "video_id": video_id, "rank": 1, **OK} for query, ids in found.items() for video_id in ids
    ]
    outcomes = {"a": OK, "b": OK, "c": OK, "d": dropped("too_few_views"), "e": OK}
    media = {"a": OK, "b": failed("removed"), "c": OK, "e": OK}
    clips = [
        {"clip_id": f"{video_id}{n}", "video_id": video_id, "start_ms": n, "end_ms": n + 1, **outcome}
        for video_id, outcomes_ in {"a": [OK, OK, dropped("clip_too_short")], "c": [OK]}.items()
        for n, outcome in enumerate(outcomes_)
    ]
    rows = {
        "searches": searches,
        "discoveries": discoveries,
        "videos": [{"video_id": key, **outcome} for key, outcome in outcomes.items()],
        "media": [{"video_id": key, "media_path": f"00/{key}.mp4", **outcome} for key, outcome in media.items()],
        "clips": clips,
    }
    for name, table in rows.items():
        write_part(tmp_path, name, make_table(name, table, **MADE))
    return str(tmp_path)


def test_a_video_counts_once_for_each_value_that_found_it(root):
    assert read_yields(root, "dish").values.tolist() == [
        ["肉じゃが", 2, 3, 3, 2, 3],
        ["天ぷら", 1, 2, 1, 1, 1],
        ["", 1, 1, 1, 1, 0],
    ]


def test_a_facet_that_no_query_has_is_one_row(root):
    frame = read_yields(root, "region")
    assert frame.columns.tolist() == [
        "region",
        "queries",
        "videos found",
        "videos selected",
        "videos downloaded",
        "clips",
    ]
    assert frame.values.tolist() == [["", 4, 5, 4, 3, 3]]


def test_an_empty_root_has_no_yields(tmp_path):
    assert read_yields(str(tmp_path), "dish").empty


def test_status_shows_them_when_asked(root):
    result = CliRunner().invoke(app, ["status", "--root", root, "--by", "technique", "--json"])
    rows = json.loads(result.stdout)["yields"]
    assert [(row["technique"], row["videos found"]) for row in rows] == [("煮る", 3), ("揚げる", 2), ("", 1)]


@pytest.mark.parametrize(
    ("facets", "why"), [("dish", "have dish; did you mean 'dish'?"), ("", "have no facets, which are the columns")]
)
def test_a_facet_that_there_is_not_is_told_with_those_that_there_are(tmp_path, facets, why):
    row = {"query": "料理", **dict.fromkeys(facets.split(), "煮物"), **OK}
    write_part(tmp_path, "searches", make_table("searches", [row], **MADE))
    result = CliRunner().invoke(app, ["status", "--root", str(tmp_path), "--by", "dihs", "--json"])
    assert result.exit_code == 2 and why in result.stderr and result.stdout == "", result.output


def test_status_without_a_facet_leaves_them_out(root):
    assert "yields" not in json.loads(CliRunner().invoke(app, ["status", "--root", root, "--json"]).stdout)


def test_report_has_a_table_for_each_facet_that_queries_have(root):
    page = Path(build_report(Config(root=root))).read_text(encoding="utf-8")
    section = page[page.index('<section id="yields">') :].split("</section>")[0]
    assert section.count("<table>") == 2  # no query names a region
    assert '<th scope="row">肉じゃが</th><td class="number">2</td><td class="number">3</td>' in section
