"""A release's test set by what a root still has of it, and two roots on what both have."""

from datetime import UTC, datetime

import pytest
import torch
from typer.testing import CliRunner

from datasets.outcomes import failed
from datasets.releases.build import build_release
from datasets.releases.layout import release_path
from datasets.releases.settings import PublishSettings
from datasets.tables import make_table, write_part
from flows.__main__ import app
from flows.config import Config
from flows.stages.evaluate_left import compare_left, evaluate_left
from model.avlnet import AVLNet
from model.ranks import DIRECTIONS
from tests.small_tables import FACTS, RUN, make_root, video_name

SPLITS = {"train": 2, "val": 1, "test": 12}
WIDTHS = (4, 4, 8, 8, 16)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(release, the configuration of its root, that of a root of other features that lost two test videos)."""
    folder = tmp_path_factory.mktemp("left")
    root = make_root(folder / "first", splits=SPLITS)
    settings = PublishSettings(tiny_clips=2, small_clips=4)
    build_release(root, settings, RUN, datetime(2026, 1, 1, tzinfo=UTC).date(), FACTS)
    other = make_root(folder / "second", splits=SPLITS, seed=2)
    rows = [
        {"video_id": video_name(3 + i), "day": "2026-01-01", **failed(reason)}
        for i, reason in enumerate(("removed", "private", "network"))
    ]
    write_part(other, "availability", make_table("availability", rows, recipe="r", run_id="x"))
    torch.manual_seed(1)
    torch.save(AVLNet(embedding_dim=8, video_dim=10, widths=WIDTHS).state_dict(), folder / "weights.pth")
    first = Config(root=root, train={"init_checkpoint": str(folder / "weights.pth")})
    return release_path(root, "1.0.0"), first, first.model_copy(update={"root": other})


def test_a_root_that_has_everything_says_the_same_of_the_whole_as_of_what_is_left(world):
    release, config, _ = world
    frame, told = evaluate_left(config, release)
    assert [(row.direction, row.k) for row in frame.itertuples()][:3] == [(DIRECTIONS[0], k) for k in (1, 5, 10)]
    for name in ("estimate", "low", "high", "lowest", "highest"):
        assert frame[name].tolist() == pytest.approx(frame["on_left"].tolist())
    assert told == "36 of 36 test clips are left, of 7 of 7 channels"


def test_videos_that_are_known_to_be_gone_are_lost_and_trouble_is_not(world):
    release, _, other = world
    frame, told = evaluate_left(other, release)
    assert told.startswith("30 of 36 test clips are left")
    for row in frame.itertuples():
        assert 0 <= row.lowest <= row.low < row.high <= row.highest <= 100


def test_two_roots_are_compared_on_the_clips_that_both_have(world):
    release, config, other = world
    frame, told = compare_left(config, release, other.root)
    assert told == "30 of 36 test clips are left in both roots"
    for row in frame.itertuples():
        assert row.gain == pytest.approx(row.this - row.other)
        assert row.low <= row.gain <= row.high
    mirrored, _ = compare_left(other, release, config.root)
    assert mirrored["gain"].tolist() == pytest.approx((-frame["gain"]).tolist())


def test_a_root_against_itself_gains_nothing(world):
    release, config, _ = world
    frame, _ = compare_left(config, release, config.root)
    assert not frame[["gain", "low", "high"]].to_numpy().any()


def test_without_a_checkpoint_it_is_said_what_to_do(world):
    release, config, _ = world
    with pytest.raises(ValueError, match="run `python -m flows finetune` first, or name one"):
        evaluate_left(Config(root=config.root), release)


def test_a_root_of_other_clips_has_nothing_left(world, tmp_path):
    release, config, _ = world
    root = make_root(tmp_path / "third", splits=SPLITS, clips_per_video=1)
    rows = [{"video_id": video_name(i), "day": "2026-01-01", **failed("removed")} for i in range(15)]
    write_part(root, "availability", make_table("availability", rows, recipe="r", run_id="x"))
    with pytest.raises(ValueError, match="no test clip of the release is left"):
        evaluate_left(config.model_copy(update={"root": root}), release)


def test_a_second_root_without_a_release_is_bad_usage():
    result = CliRunner().invoke(app, ["evaluate", "--against", "data/other"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --against needs --available RELEASE")
