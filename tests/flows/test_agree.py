"""`agree` fills the table agreements once, and rules may name it."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from retrieval_roots import COMMON, clip_ids_of, write_retrieval_root

from datasets.outcomes import OK
from datasets.tables import add_common_columns, current_recipe, list_parts, make_table, read_run, read_table, write_part
from features.feature_tables import vectors_column
from flows.config import load_config
from flows.machinery.run import Run
from flows.report.build import build_report
from flows.stages.agree import score_clips
from flows.stages.filter import filter_clips
from flows.status import read_agreements

SIZES = {"train": 24, "val": 6, "test": 8}
WORDS = ("agree.num_folds=2", "agree.num_templates=16", "agree.num_components=4")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("agreed")
    write_retrieval_root(root, SIZES, ids=clip_ids_of(SIZES))
    lost = [{"clip_id": "lost_000000000_000006000", "video_id": "lost", "split": "train", **OK}]
    write_part(root, "splits", make_table("splits", lost, **COMMON))
    score_clips(run_of(root))
    return str(root)


def run_of(root, *words):
    return Run(load_config(None, str(root), (*WORDS, *words)), "run")


def test_every_drawn_clip_has_a_probability_or_a_reason(root):
    rows = read_table(root, "agreements").to_pylist()
    assert len(rows) == sum(SIZES.values()) + 1
    assert {row["clip_id"]: row["reason"] for row in rows if row["status"] != "ok"} == {
        "lost_000000000_000006000": "no_features"
    }
    assert all(0 <= row["probability"] <= 1 for row in rows if row["status"] == "ok")


def test_features_of_sound_are_heard_where_they_are_named_and_there(root, tmp_path):
    root = shutil.copytree(root, tmp_path / "root")
    before, by_sound = current_recipe(root, "agreements"), "agree.sound=features_sound"
    with pytest.raises(ValueError, match=r"38 of 38 clips: name features\.encoder_sound and run featurize"):
        score_clips(run_of(root, by_sound))
    spoken = read_table(root, "log_mel", ["clip_id", "video_id"])
    rows = [np.random.default_rng(place).normal(size=(3, 4)) for place in range(spoken.num_rows)]
    times = pa.array([[0, 1000, 2000]] * spoken.num_rows)
    columns = {"values": vectors_column(rows, 4, pa.float16()), "row_start_ms": times}
    outcome = {name: pa.array([value] * spoken.num_rows, pa.string()) for name, value in OK.items()}
    heard = pa.table({name: spoken[name] for name in spoken.column_names} | columns | outcome)
    write_part(root, "features_sound", add_common_columns(heard, **COMMON))
    score_clips(run_of(root, by_sound))
    found = read_table(root, "agreements")["status"].to_pylist()
    assert current_recipe(root, "agreements") != before and found.count("ok") == sum(SIZES.values())


def test_the_record_has_the_curve_and_the_settings(root):
    record = read_run(root, "agreements")
    assert record["figures"]["num_clips"] == sum(SIZES.values()) and record["settings"]["num_folds"] == 2
    assert sum(point["count"] for point in record["figures"]["reliability"]) == 2 * sum(SIZES.values())
    json.dumps(record)


def test_a_second_run_does_nothing_and_another_seed_does_all(root):
    before, recipe = list_parts(root, "agreements"), current_recipe(root, "agreements")
    score_clips(run_of(root))
    assert list_parts(root, "agreements") == before
    score_clips(run_of(root, "agree.seed=5"))
    assert current_recipe(root, "agreements") != recipe
    score_clips(run_of(root))


def test_a_rule_may_name_the_probability(root):
    run = run_of(root, "filters.rules.seen=agreements.probability >= 0.5")
    filter_clips(run)
    fallen = read_table(root, "filtered").to_pylist()
    assert fallen and all(row["value"] < 0.5 and row["split"] == "train" for row in fallen)


def test_clips_are_counted_by_tenths(root):
    assert read_agreements(root)["clips"].sum() == sum(SIZES.values())


def test_the_report_shows_the_curve_and_the_least_likely_clips_first(root):
    page = Path(build_report(load_config(None, root))).read_text(encoding="utf-8")
    section = page[page.index('<section id="agreement">') :].partition("</section>")[0]
    shown = re.findall(r'<th scope="row">([^<]+)</th>', section)
    rows = [row for row in read_table(root, "agreements").to_pylist() if row["status"] == "ok"]
    assert shown == [row["clip_id"] for row in sorted(rows, key=lambda row: (row["probability"], row["clip_id"]))[:10]]
    assert section.count("<rect") == len(read_run(root, "agreements")["figures"]["reliability"])
