"""What a training keeps in memory, by rule and as torch saves it."""

import golden_avlnet as golden
import pytest
import small_clips as small
import torch

import model.memory as memory
from model.avlnet import AVLNet


@pytest.mark.parametrize("widths", [small.NARROW, (16, 8, 24, 16, 40)])
def test_the_rule_gives_what_torch_saves_for_the_backward_pass(widths):
    network = AVLNet(16, 32, widths).eval()
    weights = {value.data_ptr() for value in network.state_dict().values()}
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    audio, num_frames = golden.audio("memory", 1600, [1600, 1600]), torch.tensor([1600, 1600])
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        embedding = network.embed_audio(audio, num_frames)
    assert embedding.requires_grad
    found = sum(saved.values()) - audio.numel() * 4
    assert memory.graph_bytes(2 * 1600, widths) == pytest.approx(found, rel=0.05)


def test_the_original_network_keeps_10_kilobytes_a_frame():
    assert memory.graph_bytes(1, (128, 128, 256, 512, 1024)) == 10_240


@pytest.mark.parametrize(("limit", "has_room"), [("max", True), ("1000", False)])
def test_a_containers_limit_counts(clips, tmp_path, monkeypatch, limit, has_room):
    (tmp_path / "memory.max").write_text(limit + "\n")
    monkeypatch.setattr("model.memory._CONTAINER_LIMIT", tmp_path / "memory.max")
    pieces = [clips.batch([0, 1])]
    assert memory.has_room_for_graph(pieces, small.NARROW, torch.device("cpu"), 1) is has_room


def test_processes_share_the_memory(clips, monkeypatch):
    monkeypatch.setattr("model.memory.SHARE", 1.0)
    pieces = [clips.batch([0, 1])]
    assert memory.has_room_for_graph(pieces, small.NARROW, torch.device("cpu"), 1)
    assert not memory.has_room_for_graph(pieces, small.NARROW, torch.device("cpu"), 10**9)
