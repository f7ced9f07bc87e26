"""Each release by the same recipe, and a verdict on each change."""

from datetime import UTC, datetime

import numpy as np
import pytest

from datasets.outcomes import OK
from datasets.releases.layout import release_path
from datasets.tables import make_table, read_table, write_part
from flows.config import Config
from flows.machinery.run import Run
from flows.report.build import build_report
from flows.report.release_history import describe_change, read_release_figures
from flows.stages.release_metrics import can_be_measured, fixed_recipe, has_figures, measure_release
from tests.small_tables import FACTS, RUN, make_root


def figures(recall, half):
    return {"recall_at_1": recall, "recall_at_1_low": recall - half, "recall_at_1_high": recall + half}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (figures(0.50, 0.03), figures(0.54, 0.04), "+4.0, within noise (±5.0)"),
        (figures(0.50, 0.03), figures(0.56, 0.04), "+6.0, more than noise (±5.0)"),
        (figures(0.56, 0.03), figures(0.50, 0.04), "-6.0, more than noise (±5.0)"),
        (figures(0.50, 0.03), {**figures(0.56, 0.04), "recall_at_1_low": None}, "+6.0"),
    ],
)
def test_a_change_is_compared_with_both_intervals(before, after, text):
    assert describe_change(before, after, "recall_at_1") == text


def test_releases_of_equal_data_rarely_differ_by_more_than_noise():
    """The verdict is right about as often as the interval says."""
    from model.metrics import bootstrap_recall
    from model.ranks import Ranks

    rng = np.random.default_rng(1)
    rows = []
    for seed in range(60):
        ranks = Ranks((rng.random(400) > 0.3).astype(np.int64), np.zeros(400, np.int64))
        low, high = bootstrap_recall(ranks, 300, seed=seed)["R@1"]
        rows.append({"recall_at_1": ranks.metrics()["R@1"], "recall_at_1_low": low, "recall_at_1_high": high})
    verdicts = [describe_change(*pair, "recall_at_1") for pair in zip(rows[::2], rows[1::2], strict=True)]
    assert sum("more than" in verdict for verdict in verdicts) <= 4


def write_evaluation(root, release, recall, recipe="fixed"):
    row = {"checkpoint": release, "release": release, "split": "test", "direction": "video_clip_retrieval"}
    values = {
        f"recall_at_{k}{end}": recall + d for k in (1, 5, 10) for end, d in (("", 0), ("_low", -0.01), ("_high", 0.01))
    }
    table = make_table("evaluations", [{**row, **values, "num_queries": 9, **OK}], recipe=recipe, run_id="test")
    write_part(root, "evaluations", table)


def test_only_neighbours_of_one_recipe_are_compared_in_the_order_of_versions(tmp_path):
    for release, recall in (("1.10.0", 0.5), ("1.9.0", 0.2), ("working-abc", 0.9)):
        write_evaluation(tmp_path, release, recall)
    write_evaluation(tmp_path, "1.11.0", 0.8, recipe="other")
    frame = read_release_figures(str(tmp_path))
    assert list(zip(frame["release"], frame["change@1"], strict=True)) == [
        ("1.9.0", ""),
        ("1.10.0", "+30.0, more than noise (±1.4)"),
        ("1.11.0", ""),
    ]


def test_the_report_shows_the_releases(tmp_path):
    for release, recall in (("1.0.0", 0.2), ("1.1.0", 0.21)):
        write_evaluation(tmp_path, release, recall)
    page = (tmp_path / "report.html").read_text() if build_report(Config(root=str(tmp_path))) else ""
    assert "<h2>Releases</h2>" in page and "+1.0, within noise (±1.4)" in page and "20.0 (19.0 to 21.0)" in page


def test_a_release_is_measured_once_on_its_own_clips(tmp_path):
    from datasets.releases.build import build_release

    root = make_root(tmp_path / "root", splits={"train": 4, "val": 1, "test": 2})
    settings = {"batch_size": 4, "epochs": 1, "embedding_dim": 8, "widths": [4, 4, 4, 4, 4], "recipe": "proper"}
    config = Config(root=root, train=settings, evaluate={"num_bootstrap": 50})
    build_release(root, config.publish, RUN, datetime.now(UTC).date(), FACTS)
    run = Run(config, "test")
    assert not can_be_measured(run, "1.0.0", may_train=False) and can_be_measured(run, "1.0.0", may_train=True)
    assert not has_figures(run, "1.0.0")
    measure_release(run, "1.0.0")
    assert has_figures(run, "1.0.0")
    rows = read_table(root, "evaluations", recipe=fixed_recipe(run)).to_pylist()
    assert {(row["release"], row["split"], row["num_queries"]) for row in rows} == {("1.0.0", "test", 6)}
    assert len(rows) == 2 and release_path(root, "1.0.0")
