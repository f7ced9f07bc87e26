"""Checkpoints load by their own sizes, and wrong files say what is wrong."""

import os
import pickle

import golden_avlnet as golden
import pytest
import small_clips as small
import torch

from model.avlnet import AVLNet
from model.checkpoints import CheckpointError, check_video_dim, load_avlnet, write_whole


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return AVLNet(8, 32, small.NARROW).state_dict()


def test_sizes_come_from_the_file(state, tmp_path):
    write_whole(tmp_path / "model.pth", state)
    model = load_avlnet(tmp_path / "model.pth")
    assert (model.embedding_dim, model.video_dim) == (8, 32)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_file_of_the_old_format_loads(state, tmp_path):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_avlnet(tmp_path / "old.pth").video_dim == 32


def without_counts(state):
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


def transposed(state):
    key = "GU_video.fc.weight"
    return {**state, key: state[key].T.contiguous().T}


def in_module(state):
    return {f"module.{key}": value for key, value in state.items()}


FOUND = {
    "by DataParallel": (in_module, '"module." is taken off the names'),
    "by apex": (
        lambda state: {"net": state, "optimizer": {"lr": 1.0}, "amp": {}},
        "its net is taken, optimizer, amp left",
    ),
    "state_dict": (lambda state: {"state_dict": in_module(state), "epoch": 3}, "its state_dict is taken, epoch left"),
    "by torch.compile within DataParallel": (
        lambda state: {"state_dict": {f"module._orig_mod.{key}": value for key, value in state.items()}},
        '"_orig_mod." is taken off the names',
    ),
    "in a class": (lambda state: {f"model.{key}": value for key, value in state.items()}, '"model." is taken off'),
    "one in the other": (
        lambda state: {"model_state_dict": {"state_dict": in_module(state)}, "epoch": 3},
        'its model_state_dict is taken, epoch left; its state_dict is taken; "module." is taken off',
    ),
    "before counts": (without_counts, "22 num_batches_tracked"),
    "transposed": (transposed, None),
}


@pytest.mark.parametrize("found", FOUND)
def test_checkpoints_load_as_they_are_found_and_it_is_said_what_was_taken_off(state, found, tmp_path, caplog):
    wrap, message = FOUND[found]
    write_whole(tmp_path / "model.pth", wrap(state))
    caplog.set_level("INFO")
    loaded = load_avlnet(tmp_path / "model.pth").state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())
    assert message in caplog.text if message else not caplog.text


def test_a_file_that_holds_itself_is_refused(tmp_path):
    held: dict = {}
    held["model"] = held
    write_whole(tmp_path / "model.pth", held)
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_avlnet(tmp_path / "model.pth")


@pytest.mark.parametrize("found", ["by DataParallel", "by apex"])
def test_a_text_model_is_refused_whatever_it_is_wrapped_in(state, found, tmp_path):
    state["text_pooling_caption.fc.weight"] = torch.zeros(2)
    write_whole(tmp_path / "model.pth", FOUND[found][0](state))
    with pytest.raises(CheckpointError, match=r"unexpected text_pooling_caption\.fc\.weight"):
        load_avlnet(tmp_path / "model.pth")


def test_a_tensor_that_claims_more_than_it_has_is_refused(state, tmp_path):
    state["GU_video.fc.weight"] = torch.zeros(1, 1).expand(8, 32)
    write_whole(tmp_path / "model.pth", state)
    with pytest.raises(CheckpointError, match=r"GU_video\.fc\.weight must be a plain tensor"):
        load_avlnet(tmp_path / "model.pth")


@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(state, number, tmp_path):
    state["GU_video.fc.bias"][3] = number
    write_whole(tmp_path / "model.pth", state)
    with pytest.raises(CheckpointError, match=r"GU_video\.fc\.bias holds numbers that are not finite"):
        load_avlnet(tmp_path / "model.pth")


def test_missing_and_unexpected_keys_are_named(state, tmp_path):
    del state["GU_audio.fc.bias"]
    state["text_pooling_caption.fc.weight"] = torch.zeros(2)
    write_whole(tmp_path / "model.pth", state)
    message = r"missing GU_audio\.fc\.bias; unexpected text_pooling_caption\.fc\.weight"
    with pytest.raises(CheckpointError, match=message):
        load_avlnet(tmp_path / "model.pth")


def test_a_model_of_something_else_is_refused(tmp_path):
    write_whole(tmp_path / "model.pth", {"fc.weight": torch.zeros(2)})
    with pytest.raises(
        CheckpointError, match=r"not an AVLnet checkpoint: missing DAVEnet\.conv1\.weight.*it has fc\.weight"
    ):
        load_avlnet(tmp_path / "model.pth")


def test_a_tensor_of_another_size_is_named(state, tmp_path):
    state["GU_audio.fc.bias"] = torch.zeros(3)
    write_whole(tmp_path / "model.pth", state)
    with pytest.raises(CheckpointError, match=r"GU_audio\.fc\.bias must be \[16\], got \[3\]"):
        load_avlnet(tmp_path / "model.pth")


class Hostile:
    def __init__(self, target) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize(
    "make", [lambda target: b"", lambda target: b"text", lambda target: pickle.dumps(Hostile(target), 2)]
)
def test_what_holds_no_tensors_is_refused_and_not_run(tmp_path, make):
    (tmp_path / "model.pth").write_bytes(make(tmp_path / "run"))
    with pytest.raises(CheckpointError, match="not a checkpoint of tensors only"):
        load_avlnet(tmp_path / "model.pth")
    assert not (tmp_path / "run").exists()


def test_no_file_is_said_so(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_avlnet(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("model_dim", "clips_dim", "message"),
    [
        (3328, 2048, "takes video features of 3328 values, the clips have 2048"),
        (2048, 4096, "takes video features of 2048 values, the clips have 4096"),
        (
            4096,
            2048,
            "is bimodal.*published no weights of the 2D-only variant; `python -m flows pretrain --f",
        ),
    ],
)
def test_features_of_another_size_are_refused_with_both_sizes_or_the_reason(model_dim, clips_dim, message):
    with torch.device("meta"):
        model = AVLNet(8, model_dim, small.NARROW)
    with pytest.raises(CheckpointError, match=message):
        check_video_dim("model.pth", model, clips_dim)


def test_the_2d_variant_of_the_original_has_our_sizes():
    head = golden.shapes("AVLnet_2Donly_video_dim2048")["GU_video.fc.weight"]
    assert head == [4096, 2048]
