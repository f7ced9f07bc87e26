"""What a researcher trusts a training for: it stops at what is no number, goes on, and says what it cannot do."""

from dataclasses import replace

import numpy as np
import pytest
import small_clips as small
import torch
from pydantic import ValidationError

import model.train as training
from datasets.outcomes import DeviceError
from datasets.settings import recipe_of
from model.avlnet import AVLNet
from model.checkpoints import RESUME_FILE, CheckpointError, read_whole, write_whole
from model.data import ClipSet
from model.evaluate import evaluate
from model.finite import NotFiniteError
from model.history import is_trained
from model.metrics import best_candidates, rank_embeddings
from model.prefetch import prepare_ahead
from model.schedules import make_optimizer, make_scheduler, take_up
from model.settings import AUDIO_WIDTHS, RECIPES, TrainSettings
from model.train import train


def settings(**changes) -> TrainSettings:
    base = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "embedding_dim": 16, "widths": small.NARROW}
    return TrainSettings(**(base | changes))


def spoilt(clips: ClipSet, number: float) -> ClipSet:
    """One number of one clip's frames replaced."""
    frames = clips.chunks[0].copy()
    frames[clips.starts[5] + 3, 7] = number
    return replace(clips, chunks=(frames,))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_frames_that_are_no_numbers_stop_the_run_in_their_step(clips: ClipSet, tmp_path, number):
    taken = []
    with pytest.raises(NotFiniteError, match=r"step \d \(epoch 0\): audio of 1 of its 8 clips is not finite") as told:
        train(spoilt(clips, number), None, settings(), tmp_path, on_step=lambda done, *_: taken.append(done))
    assert f"step {len(taken) + 1} " in str(told.value)
    assert not (tmp_path / "avlnet.pth").exists()


def test_a_learning_rate_that_throws_the_weights_away_stops_the_run(clips: ClipSet, tmp_path):
    with pytest.raises(NotFiniteError, match=r"step 1 \(epoch 0\).*learning rate 1e\+30"):
        train(clips, None, settings(learning_rate=1e30), tmp_path)
    assert not (tmp_path / "avlnet.pth").exists()


def test_a_device_without_room_ends_in_one_line_that_says_what_to_lower(clips: ClipSet, tmp_path, monkeypatch):
    def have_no_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it")

    monkeypatch.setattr(AVLNet, "forward", have_no_room)
    for work, lower in (
        (lambda: train(clips, None, settings(), tmp_path), "train.batch_size"),
        (lambda: evaluate(AVLNet(16, 32, small.NARROW), clips), "evaluate.batch_size"),
    ):
        with pytest.raises(DeviceError, match=rf"c\w+ has no room \(CUDA .* 2.00 GiB\.\): lower {lower}"):
            work()


@pytest.mark.parametrize("where", ["begins", "resumes"])
def test_a_device_without_room_for_what_a_training_begins_with_is_told(clips, tmp_path, monkeypatch, where):
    def have_no_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    if where == "resumes":
        train(clips, None, settings(epochs=1), tmp_path)
    monkeypatch.setattr(training, "take_up" if where == "resumes" else "make_optimizer", have_no_room)
    with pytest.raises(DeviceError, match=r"cpu has no room \(CUDA out of memory\): free it of others"):
        train(clips, None, settings(epochs=1), tmp_path)


def test_memory_that_cannot_be_pinned_is_the_machines_fault(clips, monkeypatch):
    def have_none(_):
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(torch.Tensor, "pin_memory", have_none)
    with pytest.raises(DeviceError, match="has no memory to pin for a batch; lower its size"):
        clips.batch([0]).pinned()


@pytest.mark.parametrize("work", [rank_embeddings, best_candidates])
def test_ranks_for_which_a_device_has_no_room_are_its_fault(work, monkeypatch):
    def have_no_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.Tensor, "__matmul__", have_no_room)
    with pytest.raises(DeviceError, match=r"has no room .*: set evaluate\.device, in training train\.device, to cpu"):
        work(torch.ones(2, 3), torch.ones(2, 3))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_setting_that_is_no_number_is_refused(number):
    with pytest.raises(ValidationError, match="learning_rate"):
        settings(learning_rate=number)


def test_weights_to_start_from_that_are_no_numbers_are_refused(clips: ClipSet, tmp_path):
    state = torch.load(train(clips, None, settings(epochs=1), tmp_path / "first").checkpoint, weights_only=True)
    state["GU_audio.fc.bias"][0] = float("nan")
    write_whole(tmp_path / "bad.pth", state)
    with pytest.raises(ValueError, match=r"GU_audio\.fc\.bias holds numbers that are not finite"):
        train(clips, None, settings(init_checkpoint=str(tmp_path / "bad.pth")), tmp_path / "second")


def test_a_state_to_go_on_from_that_is_no_number_is_refused(clips: ClipSet, tmp_path):
    train(clips, None, settings(epochs=1), tmp_path)
    state = read_whole(tmp_path / RESUME_FILE)
    state["optimizer"]["state"][0]["exp_avg"][0] = float("nan")
    write_whole(tmp_path / RESUME_FILE, state)
    with pytest.raises(CheckpointError, match=r"resume\.pt holds numbers that are not finite: remove it"):
        train(clips, None, settings(epochs=2), tmp_path)


def test_val_clips_that_are_no_numbers_are_told_before_the_first_step(clips: ClipSet, tmp_path):
    with pytest.raises(NotFiniteError, match="1 of 24 val clips are not finite, such as clip0005"):
        train(clips, spoilt(clips, float("nan")), settings(), tmp_path, on_step=lambda *_: pytest.fail("a step"))


def test_clips_to_be_measured_by_that_are_no_numbers_are_told(clips: ClipSet):
    with pytest.raises(ValueError, match="audio of 1 of its 24 clips is not finite"):
        evaluate(AVLNet(16, 32, small.NARROW), spoilt(clips, float("inf")))


def test_moments_are_laid_out_as_the_weights_are_where_training_goes_on():
    """A GPU's weights have another layout than a CPU's."""
    weight = torch.arange(24.0).reshape(2, 3, 1, 4)
    for there, here in ((torch.channels_last, torch.contiguous_format), (torch.contiguous_format, torch.channels_last)):
        old, new = (torch.nn.Parameter(weight.clone(memory_format=layout)) for layout in (there, here))
        adam = make_optimizer([old], settings(), torch.device("cpu"))
        old.grad = torch.ones_like(old)
        adam.step()
        resumed = make_optimizer([new], settings(), torch.device("cpu"))
        take_up(resumed, adam.state_dict())
        assert resumed.state[new]["exp_avg"].stride() == new.stride() != old.stride()
        assert torch.equal(resumed.state[new]["exp_avg"], adam.state[old]["exp_avg"])


def test_train_mode_says_what_memory_its_statistics_want(clips: ClipSet, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("model.memory.SHARE", 0)
    train(clips, None, settings(recipe="proper", epochs=1), tmp_path)
    (told,) = (line.getMessage() for line in caplog.records if "statistics over 8 clips" in line.getMessage())
    assert "set train.statistics_over" in told


@pytest.mark.parametrize(("more", "told"), [
    ({}, "None are taken"),
    ({"recipe": "proper"}, "Taken over 8 clips of each batch of 8, as they were drawn; padding is left out"),
    ({"recipe": "proper", "statistics_over": 4, "mask_padding": False}, "Taken over 4 clips of each batch of 8"),
])  # fmt: skip
def test_a_card_beside_the_weights_says_how_they_were_made(clips: ClipSet, tmp_path, more, told):
    result = train(clips, clips, settings(epochs=1, **more), tmp_path)
    card = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    recall = f"mean recall on val {100 * result.history[0].val_recall:.1f} %"
    assert f"**Batch statistics**: {told}" in card and recall in card and "24 train clips" in card


@pytest.mark.parametrize("folder", ["same", "other"])
def test_more_epochs_go_on_where_fewer_ended(clips: ClipSet, tmp_path, folder):
    taken = []
    train(clips, clips, settings(), tmp_path / "same")
    more = train(clips, clips, settings(epochs=3), tmp_path / folder, on_step=lambda done, *_: taken.append(done))
    assert taken == [7, 8, 9]
    (tmp_path / "apart").mkdir()
    whole = train(clips, clips, settings(epochs=3), tmp_path / "apart" / "whole")
    assert more.history == whole.history and more.selected_epoch == whole.selected_epoch
    one, two = (torch.load(run.checkpoint, weights_only=True) for run in (more, whole))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_a_training_counts_as_ended_only_once_its_last_state_is_written(clips: ClipSet, tmp_path, monkeypatch):
    def fail(path, state):
        if path.name == "resume.pt":
            raise OSError("no space left")
        write_whole(path, state)

    monkeypatch.setattr("model.train.write_whole", fail)
    with pytest.raises(OSError, match="no space"):
        train(clips, None, settings(epochs=1), tmp_path)
    assert (tmp_path / "avlnet.pth").exists() and not is_trained(tmp_path, settings(epochs=1))


def test_a_history_lost_to_a_kill_is_written_again_without_a_step(clips: ClipSet, tmp_path):
    whole = train(clips, None, settings(epochs=1), tmp_path)
    before, taken = (tmp_path / "history.csv").read_bytes(), []
    (tmp_path / "history.csv").unlink()
    again = train(clips, None, settings(epochs=1), tmp_path, on_step=lambda done, *_: taken.append(done))
    assert (tmp_path / "history.csv").read_bytes() == before and not taken and again.history == whole.history


def test_more_epochs_on_other_features_begin_anew(clips: ClipSet, tmp_path):
    taken = []
    train(clips, None, settings(epochs=1), tmp_path / "one", made_from="features of 2025")
    train(
        clips,
        None,
        settings(),
        tmp_path / "two",
        made_from="other features",
        on_step=lambda done, *_: taken.append(done),
    )
    assert taken[0] == 1


def test_fewer_epochs_than_a_folder_holds_are_refused(clips: ClipSet, tmp_path):
    train(clips, None, settings(), tmp_path)
    with pytest.raises(ValueError, match="holds a training of 2 epochs, more than 1"):
        train(clips, None, settings(epochs=1), tmp_path)


def test_patience_without_clips_to_measure_by_is_an_error(clips: ClipSet, tmp_path):
    with pytest.raises(ValueError, match=r"train\.patience is 2, but there are no clips of split val"):
        train(clips, None, settings(patience=2), tmp_path)
    with pytest.raises(ValidationError, match="selection must be"):
        settings(patience=2, selection="last")


def test_train_mode_does_not_depend_on_the_micro_batch_but_on_what_statistics_are_taken_over(clips, tmp_path):
    runs = {
        name: train(clips, None, settings(recipe="proper", **more), tmp_path / name).history[-1].loss
        for name, more in {
            "16": {"micro_batch_size": 16}, "3": {"micro_batch_size": 3}, "over": {"statistics_over": 4},
        }.items()
    }  # fmt: skip
    assert runs["3"] == pytest.approx(runs["16"], rel=1e-6)
    assert abs(runs["over"] - runs["16"]) > 1e-4 * abs(runs["16"])


def test_the_originals_pretraining_takes_statistics_over_the_windows_of_one_gpu():
    assert TrainSettings(**RECIPES["howto100m"]).statistics_over == 4096 // 2
    assert {RECIPES[name]["selection"] for name in ("scratch", "finetune", "howto100m")} == {"last"}


def test_gradients_are_clipped_and_their_norm_is_logged(clips: ClipSet, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(clips, None, settings(clip_gradient_norm=1e-9), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert all(event.value > 1e-3 for event in events.Scalars("gradient_norm")), "before clipping"
    assert 0 <= events.Scalars("waiting_for_batches")[0].value <= 1


def rates(**more) -> list[float]:
    chosen = settings(epochs=3, **more)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=chosen.learning_rate)
    scheduler = make_scheduler(optimizer, chosen, steps_per_epoch=4)
    seen = []
    for _ in range(12):
        seen.append(optimizer.param_groups[0]["lr"] / chosen.learning_rate)
        optimizer.step()
        scheduler.step()
    return seen


def test_the_learning_rate_decays_by_epochs_warms_up_and_follows_a_cosine():
    assert rates(lr_decay=0.5) == pytest.approx([1] * 4 + [0.5] * 4 + [0.25] * 4)
    warm = rates(warmup_steps=3)
    assert warm[:3] == pytest.approx([0.25, 0.5, 0.75]) and warm[3:] == pytest.approx([1] * 9)
    cosine = rates(schedule="cosine")
    assert cosine == pytest.approx([(1 + np.cos(np.pi * step / 12)) / 2 for step in range(12)])


def test_a_cosine_training_that_is_stopped_goes_on_with_its_rates(clips: ClipSet, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(done: int, *_: float) -> None:
        if done == 4:
            raise StoppedError

    chosen = settings(schedule="cosine", warmup_steps=2, weight_decay=0.01, learn_logit_scale=True)
    chosen = chosen.model_copy(update={"checkpoint_every_s": 0})
    whole = train(clips, None, chosen, tmp_path / "a" / "whole")
    with pytest.raises(StoppedError):
        train(clips, None, chosen, tmp_path / "b" / "stopped", on_step=stop)
    assert train(clips, None, chosen, tmp_path / "b" / "stopped").history == whole.history
    assert set(torch.load(whole.checkpoint, weights_only=True)) == set(
        torch.load(train(clips, None, settings(), tmp_path / "plain").checkpoint, weights_only=True)
    ), "the scale of the scores is none of the model's"


def test_a_setting_younger_than_the_recipes_counts_only_where_it_is_set():
    known = {"recipe": "upstream", "epochs": 5, "features": "2d+3d", "batch_size": 256, "learning_rate": 1e-4}
    known |= {"lr_decay": 1.0, "embedding_dim": 4096, "widths": list(AUDIO_WIDTHS), "mask_padding": True, "seed": 1}
    known |= {"precision": "fp32", "selection": "best_val", "patience": None, "micro_batch_size": 16}
    assert recipe_of(TrainSettings()) == recipe_of(known)
    assert recipe_of(TrainSettings(warmup_steps=1)) != recipe_of(known)


def test_without_its_package_a_logger_is_refused_in_one_line(clips: ClipSet, tmp_path):
    with pytest.raises(ValueError, match=r"train\.wandb_project needs the package wandb"):
        train(clips, None, settings(wandb_project="x"), tmp_path)


def test_batches_are_made_ahead_in_order_and_an_error_is_told():
    def numbers():
        yield from range(3)
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        for number, waited_s in prepare_ahead(numbers()):
            assert waited_s >= 0
            seen.append(number)
    assert seen == [0, 1, 2]
