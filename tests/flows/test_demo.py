"""`make demo` in full: what it promises of the small world and of the model that is trained on it."""

import json
from pathlib import Path

import pytest

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


def test_the_model_learned_its_train_clips(demo):
    retrieval = read_retrieval(demo.root)
    train = retrieval[retrieval["split"] == "train"]
    assert len(train) == 2 and (train["R@1"] >= 3 * train["chance@1"]).all()


def test_with_the_pairs_shuffled_it_falls_to_chance(demo):
    """Over 20 random pairings of 48 clips R@1 has a standard deviation of 0.5 percent around its chance of 2.1."""
    retrieval = read_retrieval(demo.root)
    train = retrieval[retrieval["split"] == "train"]
    assert (train["shuffled R@1"] <= 2 * train["chance@1"]).all()


def test_untrained_weights_are_said_in_words(demo):
    assert any("UNTRAINED" in note for note in read_notes(demo.root))


def test_the_channel_has_a_dozen_videos_of_60_to_90_seconds_and_ten_foods(demo):
    truths = [json.loads(path.read_text()) for path in (Path(demo.root) / "channel" / "videos").glob("*.json")]
    narrated = [truth for truth in truths if "segments" in truth and "voice" in truth]
    assert len(narrated) >= 12
    assert all(60_000 <= truth["duration_ms"] <= 90_000 for truth in narrated)
    assert len({food for truth in narrated for food in truth["foods"]}) >= 10


def test_the_funnel_loses_nothing_between_splits_and_features(demo):
    items = read_funnel(demo.root).set_index("stage")["items"]
    assert items["clips with features"] == sum(demo.splits.sizes.values())
