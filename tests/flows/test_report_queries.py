"""Which spoken queries work: groups of queries, and the page that shows them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.queries import find_word, shipped_words
from datasets.tables import make_table, write_part
from flows.config import Config
from flows.report.build import build_report
from flows.report.query_groups import group_queries, wilson

TITLES = {"v0": "トマトのサラダ", "v1": "たまねぎスープの作り方", "v2": "今日のごはん", "v3": None}


def write(root, name, rows):
    write_part(root, name, make_table(name, [{**row, **OK} for row in rows], recipe="r", run_id="x"))


def rank(clip_id, video_id, better, direction="video_clip_retrieval"):
    names = {"checkpoint": "c", "release": "r", "split": "test", "direction": direction}
    return {**names, "clip_id": clip_id, "video_id": video_id, "better": better, "tied": 0, "best": clip_id}


@pytest.fixture
def root(tmp_path):
    """Forty queries of four videos: those of the first are found, of the second never, of the others by half."""
    clips, ranks = [], []
    for i in range(40):
        video_id, length_ms = f"v{i % 4}", 5000 + 1000 * (i // 4)
        clip_id = make_clip_id(video_id, 60_000 * i, 60_000 * i + length_ms)
        times = {"start_ms": 60_000 * i, "end_ms": 60_000 * i + length_ms, "speech_ms": length_ms * (1 + i % 2) // 2}
        clips.append({"clip_id": clip_id, "video_id": video_id, **times})
        better = {0: 0, 1: 30}.get(i % 4, 30 * (i % 8 > 3))
        ranks += [rank(clip_id, video_id, better), rank(clip_id, video_id, 39, "language_retrieval")]
    write(tmp_path, "clips", clips)
    write(tmp_path, "ranks", ranks)
    write(tmp_path, "videos", [{"video_id": v, "title": title} for v, title in TITLES.items()])
    write(tmp_path, "searches", [{"query": "q1", "dish": "肉じゃが"}, {"query": "q2", "dish": None}])
    found = [("q1", "v2", 3), ("q2", "v2", 1), ("q2", "v3", 1), ("q1", "v0", 1)]
    write(tmp_path, "discoveries", [{"query": q, "video_id": v, "rank": r} for q, v, r in found])
    return tmp_path


def test_queries_are_grouped_by_the_food_in_the_title_or_the_dish_searched_for(root):
    food = {group.name: group for group in group_queries(str(root))["topic"]}
    assert {name: (group.num_queries, group.recall) for name, group in food.items()} == {
        "トマト": (10, 1.0), "たまねぎ": (10, 0.0), "肉じゃが": (10, 0.5),
    }  # fmt: skip
    assert food["たまねぎ"].median_rank == 31 and food["トマト"].chance == 0.25


def test_every_query_is_in_one_group_of_length_and_one_of_speech(root):
    groups = group_queries(str(root))
    assert [group.name for group in groups["length"]] == ["5 to 10 s", "10 to 15 s"]
    assert [(group.name, group.num_queries) for group in groups["speech"]] == [("50 to 70 %", 20), ("95 to 100 %", 20)]
    assert all(sum(group.num_queries for group in groups[name]) == 40 for name in ("length", "speech"))


def test_without_an_evaluation_there_are_no_groups(tmp_path):
    assert group_queries(str(tmp_path)) == {}


def test_pairs_are_grouped_by_the_folder_of_their_image(tmp_path):
    pairs = [{"pair_id": f"p{i}", "image_path": f"test/{'apple' if i % 2 else 'pear'}/{i}.jpg"} for i in range(8)]
    write(tmp_path, "pairs", [{**pair, "audio_path": "x", "language": "ja", "split": "test"} for pair in pairs])
    write(tmp_path, "ranks", [rank(f"p{i}", f"p{i}", 20 * (i % 2)) for i in range(8)])
    food = group_queries(str(tmp_path))["topic"]
    assert {group.name: group.recall for group in food} == {"apple": 0.0, "pear": 1.0}


def test_the_report_shows_the_groups(root):
    page = (root / "report.html").read_text(encoding="utf-8") if build_report(Config(root=str(root))) else ""
    assert "By topic" in page and "トマト" in page and 'aria-label="50 %, interval 24 to 76 %"' in page


@given(st.integers(1, 500), st.floats(0, 1))
def test_the_interval_of_a_share_holds_it_and_stays_a_share(count, share):
    low, high = wilson(share, count)
    assert 0 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1


def test_the_interval_is_wilsons():
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # as in R's prop.test without correction
    assert np.diff(wilson(0.0, 3))[0] > 0.5


@pytest.mark.parametrize(
    ("title", "food"),
    [("Easy carrots soup", "carrots"), ("veggieseggs", None), ("春のたまねぎのマリネ", "たまねぎ"), ("", None)],
)
def test_foods_are_found_in_titles(title, food):
    assert find_word(title, shipped_words()) == food
