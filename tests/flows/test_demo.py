"""`make demo` in full: what it promises of the small world and of the model that is trained on it."""

import json
from pathlib import Path

import pytest

from datasets.tables import list_parts, read_table
from demo.foods import FOODS
from flows.commands.demo import run_demo
from flows.config import Config, load_config
from flows.status import read_funnel, read_notes, read_retrieval
from tests.flows.conftest import CONFIGS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Config:
    config = load_config(CONFIGS / "demo.toml", str(tmp_path_factory.mktemp("demo")))
    run_demo(config, None)
    return config


def test_it_finds_held_out_clips_better_than_chance_in_both_directions(demo):
    """No clip of a test video is in training: what is recalled is a food that other videos show and name."""
    test = read_test(demo)
    assert len(test) == 2 and (test["R@10 low"] > test["chance@10"]).all()


def test_with_the_pairs_shuffled_the_held_out_clips_fall_to_chance(demo):
    """Chance lies in an interval around shuffled R@10 that is as wide as that of the right pairs."""
    test = read_test(demo)
    half_width = (test["R@10 high"] - test["R@10 low"]) / 2
    assert ((test["shuffled R@10"] - test["chance@10"]).abs() < half_width).all()


def read_test(demo):
    retrieval = read_retrieval(demo.root)
    return retrieval[retrieval["split"] == "test"]


def test_every_food_is_in_training_and_no_test_video_is(demo):
    splits = read_table(demo.root, "splits", ["video_id", "split"]).to_pandas()
    videos = splits.groupby("split")["video_id"].unique()
    assert set(videos["train"]).isdisjoint(videos["test"])
    truths = [read_truth(demo.root, video_id) for video_id in videos["train"]]
    assert len({food for truth in truths for food in truth["foods"]}) == len(FOODS)


def read_truth(root, video_id):
    return json.loads((Path(root) / "channel" / "videos" / f"{video_id}.json").read_text())


def test_features_are_2d_only_and_no_note_speaks_of_untrained_ones(demo):
    assert not list_parts(demo.root, "features_3d") and read_notes(demo.root) == []


def test_the_funnel_loses_nothing_between_splits_and_features(demo):
    items = read_funnel(demo.root).set_index("stage")["items"]
    assert items["clips with features"] == sum(demo.splits.sizes.values())
