"""What a rule is worth is told: one that helps, one that harms, one that does not matter, one that does nothing."""

import csv
import json

import numpy as np
import pytest
from retrieval_roots import COMMON, clip_ids_of, write_retrieval_root
from typer.testing import CliRunner

from datasets.filters import FilterSettings
from datasets.outcomes import OK
from datasets.tables import make_table, record_run, write_part
from flows.__main__ import app
from flows.config import ConfigError, load_config
from flows.experiments.ablate import list_arms, measure_arms
from flows.experiments.ablation_results import name_arm, to_frame, write_ablation
from model.metrics import paired_difference_of_seeds

SIZES = {"train": 300, "val": 0, "test": 100}
RULES = {
    "still": "qualities.still_share <= 0.5",
    "faint": "qualities.level_db >= -45",
    "dark": "qualities.dark_share <= 0.5",
    "bars": "qualities.border_share <= 0.5",
}
TRAIN = (
    'recipe="proper"', "epochs=18", "batch_size=16", "micro_batch_size=16", "learning_rate=3e-3", "embedding_dim=64",
    "widths=[16, 16, 16, 32, 64]", 'selection="last"',
)  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """110 clips have the speech of another. `still` drops most of them, `faint` two thirds of the good ones, by which
    the others weigh more, `dark` some of both, and `bars` none.
    """
    root, ids = str(tmp_path_factory.mktemp("ablated")), clip_ids_of(SIZES)
    spoilt, good = ids["train"][:110], ids["train"][110:]
    write_retrieval_root(root, SIZES, ids=ids, num_hidden=4, spoilt=set(spoilt))
    faint, dark = set(good[:136]), set(np.random.default_rng(5).permutation(ids["train"])[:16])
    rows = [
        {
            "clip_id": c, "video_id": c.split("_")[0], "still_share": float(c in spoilt[:80]), "border_share": 0.0,
            "level_db": -60.0 if c in faint else -20.0, "dark_share": float(c in dark), **OK,
        }
        for c in ids["train"]
    ]  # fmt: skip
    write_part(root, "qualities", make_table("qualities", rows, **COMMON))
    record_run(root, "qualities", COMMON["recipe"], {"cpu_s_a_clip": 0.5})
    words = [f"filters.rules.{name}={rule}" for name, rule in RULES.items()]
    words += ["experiments.seeds=3", "evaluate.num_bootstrap=400", *(f"train.{word}" for word in TRAIN)]
    return load_config(None, root, tuple(words))


@pytest.fixture(scope="module")
def document(config):
    return {**measure_arms(config), "code_version": "x"}


@pytest.mark.slow
def test_a_rule_that_helps_one_that_harms_and_those_that_do_not_matter_are_told(document):
    verdicts = {arm["off"]: arm["verdict"] for arm in document["arms"] if arm["kind"] == "rule"}
    # So few seeds tell of `still` on one processor and not on another: how they round decides by so much.
    assert verdicts.pop("still") in ("helps", "not told apart")
    assert verdicts == {"faint": "harms", "dark": "not told apart", "bars": "does nothing"}
    gains = {arm["off"]: arm["gain"] for arm in document["arms"] if arm["kind"] == "rule"}
    assert gains["still"]["mean"] > 0
    assert gains["bars"] == {"mean": 0, "low": 0, "high": 0}
    assert gains["dark"]["low"] < 0 < gains["dark"]["high"]


@pytest.mark.slow
def test_every_arm_trains_on_as_many_clips_and_says_what_it_loses_and_costs(document):
    arms = {arm["off"] or arm["kind"]: arm for arm in document["arms"]}
    assert document["clips_trained_on"] == arms["all"]["clips_kept"] < arms["none"]["clips_kept"] == SIZES["train"]
    assert arms["none"]["clips_lost"] == 0 and arms["all"]["clips_lost"] == SIZES["train"] - arms["all"]["clips_kept"]
    assert arms["all"]["cpu_s_a_kept_clip"] == pytest.approx(0.5 * SIZES["train"] / arms["all"]["clips_kept"])
    assert arms["none"]["cpu_s_a_kept_clip"] == 0
    assert len(arms["all"]["R@10_by_seed"]) == 3


@pytest.mark.slow
def test_what_is_trained_is_not_trained_again_and_the_figures_are_the_same(config, document, monkeypatch):
    import model.train

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(model.train._Run, "train_epoch", refuse)
    assert {**measure_arms(config), "code_version": "x"} == document


@pytest.mark.slow
def test_table_and_picture_say_what_was_measured(document, tmp_path):
    write_ablation(str(tmp_path), document)
    assert json.loads((tmp_path / "ablation.json").read_text()) == json.loads(json.dumps(document))
    with (tmp_path / "ablation.csv").open(newline="") as file:
        rows = {row["off"]: row for row in csv.DictReader(file)}
    assert float(rows["rule faint"]["gain high"]) < 0 and rows["rule faint"]["verdict"] == "harms"
    page, svg = ((tmp_path / f"ablation.{ending}").read_text() for ending in ("html", "svg"))
    for arm in document["arms"][1:]:
        assert name_arm(arm) in page and name_arm(arm) in svg
    assert to_frame(document)["off"].tolist() == [name_arm(arm) for arm in document["arms"]]


def test_arms_are_each_rule_each_stage_and_all_off_and_no_set_but_a_rules_own_is_there_twice():
    two = FilterSettings(rules={**RULES, "short": "clips.speech_ms >= 5000"})
    names = [(arm.kind, arm.name) for arm in list_arms(two)]
    assert names == [("all", ""), *(("rule", name) for name in two.rules), ("none", ""), ("stage", "qualities")]
    one = FilterSettings(rules={"still": RULES["still"]})
    assert [arm.kind for arm in list_arms(one)] == ["all", "rule"]


def test_without_rules_there_is_nothing_to_ablate():
    with pytest.raises(ConfigError, match="no rule is configured"):
        list_arms(FilterSettings())


def test_an_interval_over_seeds_is_wider_than_one_of_queries_alone_where_seeds_differ():
    rng = np.random.default_rng(1)
    without = (rng.random((3, 200)) < 0.5).astype(float)
    gains = np.array([0.4, 0.0, -0.4])[:, None]
    found = paired_difference_of_seeds(without, without + gains)
    assert found.mean == pytest.approx(0) and found.high - found.low > 0.4
    same = paired_difference_of_seeds(without, without + 0.1)
    assert (same.low, same.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(("words", "seeds"), [([], 3), (["--set=experiments.seeds=5"], 5), (["--seeds=2"], 2)])
def test_as_many_seeds_as_are_set_else_three(words, seeds, monkeypatch, tmp_path):
    asked = []

    def end(settings):
        asked.append(settings.experiments.seeds)
        raise ValueError("far enough")

    monkeypatch.setattr("flows.experiments.ablate.run_ablation", end)
    monkeypatch.setattr("flows.commands.training.start_server", lambda: None)
    monkeypatch.setattr("flows.machinery.doctor.require", lambda *_: None)
    CliRunner().invoke(app, ["ablate", f"--root={tmp_path}", *words])
    assert asked == [seeds]
