"""Training on a small learnable world."""

from dataclasses import replace

import pytest
import small_clips as small
import torch

from model.data import ClipSet
from model.evaluate import evaluate
from model.settings import RECIPES, TrainSettings
from model.train import train


def settings(**changes) -> TrainSettings:
    base = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "embedding_dim": 16, "widths": small.NARROW}
    return TrainSettings(**(base | changes))


def weights(path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def assert_same_weights(one, other) -> None:
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_training_learns_and_shuffled_pairs_do_not(clips: ClipSet, tmp_path):
    result = train(clips, None, settings(epochs=12), tmp_path)
    report = evaluate(result.checkpoint, clips)["video_clip_retrieval"]
    assert report["metrics"]["R@5"] > 2 * report["chance"]["R@5"]
    assert report["shuffled"]["R@5"] == pytest.approx(report["chance"]["R@5"], abs=0.1)


def test_a_batch_larger_than_the_split_is_refused(clips: ClipSet, tmp_path):
    with pytest.raises(ValueError, match="batch_size is 64, but the train split has 24 clips"):
        train(clips, None, settings(batch_size=64), tmp_path)


@pytest.mark.parametrize("recipe", ["upstream", "proper"])
def test_a_killed_and_resumed_run_ends_with_the_same_weights(clips: ClipSet, tmp_path, recipe):
    class KilledError(Exception):
        pass

    def kill(num_done: int, num_steps: int, loss: float) -> None:
        if num_done == 5:
            raise KilledError

    whole = train(clips, clips, settings(recipe=recipe, epochs=3), tmp_path / "whole")
    with pytest.raises(KilledError):
        train(clips, clips, settings(recipe=recipe, epochs=3), tmp_path / "killed", on_step=kill)
    resumed = train(clips, clips, settings(recipe=recipe, epochs=3), tmp_path / "killed")
    assert resumed.history == whole.history
    assert_same_weights(weights(whole.checkpoint), weights(resumed.checkpoint))


def test_a_run_stopped_in_mid_epoch_goes_on_with_the_step_after_the_last_saved(clips: ClipSet, tmp_path):
    class StoppedError(Exception):
        pass

    taken = []

    def stop(num_done: int, num_steps: int, loss: float) -> None:
        taken.append(num_done)
        if taken == [1, 2, 3, 4, 5]:
            raise StoppedError

    whole = train(clips, clips, settings(checkpoint_every_s=0), tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(clips, clips, settings(checkpoint_every_s=0), tmp_path / "stopped", on_step=stop)
    resumed = train(clips, clips, settings(checkpoint_every_s=0), tmp_path / "stopped", on_step=stop)
    assert taken == [1, 2, 3, 4, 5, 5, 6]
    assert resumed.history == whole.history
    assert_same_weights(weights(whole.checkpoint), weights(resumed.checkpoint))


def test_a_batch_of_256_in_pieces_of_16_equals_the_full_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("model.memory.SHARE", 0)
    many = small.make_clips(256)
    full, cached = (
        train(many, None, settings(batch_size=256, micro_batch_size=size, epochs=3), tmp_path / str(size))
        for size in (256, 16)
    )
    assert [e.loss for e in cached.history] == pytest.approx([e.loss for e in full.history], rel=1e-5)


def test_every_step_is_logged_for_tensorboard(clips: ClipSet, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(clips, clips, settings(), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("val_recall")] == [3, 6]
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


def test_mixed_precision_learns_and_keeps_float32_weights(clips: ClipSet, tmp_path):
    result = train(clips, None, settings(precision="bf16", epochs=6), tmp_path)
    assert result.history[-1].loss < result.history[0].loss
    assert {value.dtype for value in weights(result.checkpoint).values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("share_of_memory", [0, 1])
def test_accumulation_equals_the_full_batch(clips: ClipSet, tmp_path, monkeypatch, share_of_memory):
    monkeypatch.setattr("model.memory.SHARE", share_of_memory)
    full = train(clips, None, settings(micro_batch_size=8), tmp_path / "full")
    cached = train(clips, None, settings(micro_batch_size=3), tmp_path / "cached")
    assert [e.loss for e in cached.history] == pytest.approx([e.loss for e in full.history], rel=1e-5)


def test_upstream_recipe_leaves_batch_norm_alone(clips: ClipSet, tmp_path):
    state = weights(train(clips, None, settings(), tmp_path / "upstream").checkpoint)
    assert state["DAVEnet.bn1.num_batches_tracked"] == 0
    assert not state["DAVEnet.bn1.running_mean"].any()
    state = weights(train(clips, None, settings(recipe="proper"), tmp_path / "proper").checkpoint)
    assert state["DAVEnet.bn1.num_batches_tracked"] == 6


def test_a_folder_with_another_training_is_refused(clips: ClipSet, tmp_path):
    train(clips, None, settings(epochs=1), tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        train(clips, None, settings(epochs=1, seed=2), tmp_path)


def test_recipes_carry_the_originals_hyperparameters():
    made = {name: TrainSettings(**fields) for name, fields in RECIPES.items()}
    rows = {name: (made[name].batch_size, made[name].epochs, made[name].learning_rate, made[name].lr_decay)
            for name in ("scratch", "finetune", "howto100m")}  # fmt: skip
    assert rows == {
        "scratch": (64, 15, 1e-4, 1.0),
        "finetune": (256, 5, 1e-4, 1.0),
        "howto100m": (4096, 30, 1e-3, 0.9),
    }
    in_train_mode = {name for name, one in made.items() if one.recipe == "proper"}
    assert in_train_mode == {"howto100m", "proper"}


def test_training_stops_early_and_keeps_the_best_epoch(clips: ClipSet, tmp_path):
    result = train(clips, clips, settings(epochs=9, patience=2, learning_rate=1e-12), tmp_path)
    assert [epoch.epoch for epoch in result.history] == [0, 1, 2]
    assert result.selected_epoch == 0
    again = train(clips, clips, settings(epochs=9, patience=2, learning_rate=1e-12), tmp_path)
    assert again == result


def test_training_goes_on_from_a_checkpoint_of_fitting_size_only(clips: ClipSet, tmp_path):
    first = train(clips, None, settings(), tmp_path / "first").checkpoint
    tuned = train(clips, None, settings(epochs=1, init_checkpoint=str(first)), tmp_path / "second")
    assert tuned.history[0].loss < 4.2
    images = replace(clips, video=clips.video[:, :16])
    with pytest.raises(ValueError, match="takes video features of 32 values, the clips have 16"):
        train(images, None, settings(init_checkpoint=str(first)), tmp_path / "third")
