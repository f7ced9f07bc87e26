"""Rules of a configuration reach training, and nothing but training."""

import json

import pytest
from retrieval_roots import COMMON, clip_ids_of, write_retrieval_root
from typer.testing import CliRunner

from datasets.outcomes import OK
from datasets.settings import recipe_of
from datasets.tables import current_recipe, list_parts, make_table, read_run, read_table, table_digest, write_part
from flows.__main__ import app
from flows.config import load_config
from flows.machinery.run import Run
from flows.stages.evaluate import evaluate_checkpoint
from flows.stages.filter import filter_clips
from flows.stages.train import TABLES_READ, checkpoint_folder, load_split, train_model

SIZES = {"train": 24, "val": 6, "test": 8}
TRAIN = ("batch_size=4", "epochs=1", "embedding_dim=8", "widths=[4, 4, 8, 8, 16]", "features=2d+3d")
STILL = "filters.rules.still=qualities.still_share <= 0.5"


def write_world(root):
    """Every third clip is a still."""
    ids = clip_ids_of(SIZES)
    write_retrieval_root(root, SIZES, ids=ids)
    rows = [
        {"clip_id": c, "video_id": c.split("_")[0], "still_share": 0.9 if i % 3 == 0 else 0.1, **OK}
        for names in ids.values()
        for i, c in enumerate(names)
    ]
    write_part(root, "qualities", make_table("qualities", rows, **COMMON))
    return str(root)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("filtered"))


def run_of(root, *words):
    overrides = (*(f"train.{word}" for word in TRAIN), *words)
    return Run(load_config(None, root, overrides), "run")


def test_without_rules_the_recipe_of_a_checkpoint_is_what_it_was(root):
    run = run_of(root)
    recipes = [current_recipe(root, table) for table in TABLES_READ]
    assert checkpoint_folder(run).name == recipe_of(run.config.train, None, recipes)
    filter_clips(run)
    assert current_recipe(root, "filtered") is None


def test_training_loads_what_the_rules_leave_and_val_and_test_are_whole(root):
    run = run_of(root, STILL)
    sizes = {split: len(load_split(run, split)) for split in SIZES}
    assert sizes == {"train": 16, "val": 6, "test": 8}
    everywhere = run_of(root, STILL, 'filters.splits=["train", "test"]')
    assert {split: len(load_split(everywhere, split)) for split in SIZES} == {"train": 16, "val": 6, "test": 5}


def test_a_weight_leaves_every_clip_in_and_goes_to_the_sampler(root):
    clips = load_split(run_of(root, f"{STILL} else 0.25"), "train")
    assert sorted(set(clips.weights.tolist())) == [0.25, 1] and len(clips) == SIZES["train"]
    assert load_split(run_of(root, f"{STILL} else 0.25"), "val").weights is None


def test_what_was_left_out_is_a_table_made_once_and_anew_when_a_rule_changes(root, tmp_path):
    run = run_of(root, STILL)
    first = train_model(run)
    rows = read_table(root, "filtered").to_pylist()
    assert {(row["rule"], row["status"], row["reason"], row["value"]) for row in rows} == {
        ("still", "dropped", "rule_not_fulfilled", 0.9)
    }
    assert len(rows) == 8 and read_run(root, "filtered")["rules"][0]["falls"] == 8
    parts, digest = list_parts(root, "filtered"), table_digest(root, "filtered")
    assert train_model(run) == first and list_parts(root, "filtered") == parts
    assert train_model(run_of(root, "filters.rules.still=qualities.still_share <= 0.95")) != first
    assert read_table(root, "filtered").num_rows == 0
    assert train_model(run) == first and table_digest(root, "filtered") == digest
    other = write_world(tmp_path)
    filter_clips(run_of(other, STILL))
    assert table_digest(other, "filtered") == digest


def test_a_rule_that_leaves_nothing_says_so(root):
    with pytest.raises(ValueError, match=r"leaves out all 24 clips of split train: loosen a rule"):
        load_split(run_of(root, "filters.rules.all=qualities.still_share > 1"), "train")


def test_a_filtered_test_is_evaluated_under_a_name_of_its_own(root):
    releases = {}
    for words in ((STILL,), (STILL, 'filters.splits=["train", "test"]')):
        run = run_of(root, *words, "evaluate.num_bootstrap=0", "evaluate.num_shuffles=0")
        train_model(run)
        evaluate_checkpoint(run)
        for row in read_table(root, "evaluations").to_pylist():
            releases[len(words), row["split"]] = (row["release"], row["num_queries"])
    plain = f"working-{current_recipe(root, 'splits')}"
    assert releases[1, "test"] == (plain, 8)
    assert releases[2, "test"][0].startswith(f"{plain}-") and releases[2, "test"][1] == 5


def test_a_dry_run_counts_what_each_rule_leaves_out(root):
    words = ["curate", "--dry-run", "--json", "--root", root, "--set", STILL]
    result = CliRunner().invoke(app, [*words, "--set", "filters.rules.dark=qualities.dark_share <= 0.2"])
    rows = {row["what"]: row for row in json.loads(result.stdout)["forecast"]}
    assert rows["clips that rule still leaves out"]["amount"] == 8
    assert rows["clips that rule dark leaves out"]["amount"] == 0
    assert "24 without a figure, keep" in rows["clips that rule dark leaves out"]["from"]


def test_a_mistyped_rule_is_one_line_with_the_name_that_was_meant(root):
    words = ["finetune", "--root", root, "--set", "filters.rules.still=qualities.stil_share <= 0.5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "did you mean 'qualities.still_share'?" in result.stderr and len(result.stderr.splitlines()) == 1
