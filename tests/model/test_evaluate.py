"""Evaluation: one embedding a clip, whatever the batch; both directions; what shuffled pairs get."""

import golden_avlnet as golden
import pytest
import small_clips as small
import torch

from datasets.outcomes import OK
from datasets.schemas import TABLES
from datasets.tables import check_table, make_table
from model.avlnet import AVLNet
from model.data import MAX_FRAMES, padded_length
from model.evaluate import embed_clips, evaluate, evaluation_rows
from model.fabric import make_fabric
from model.ranks import DIRECTIONS
from model.settings import EvaluateSettings, TrainSettings
from model.train import train


def narrow_model() -> AVLNet:
    torch.manual_seed(0)
    return AVLNet(16, 32, small.NARROW).eval()


def closeness(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("num_frames", [1, 16, 63, 500, 4699, 4700, 5120, 6000])
def test_the_short_padding_gives_the_embedding_of_the_long_one(num_frames):
    model = narrow_model()
    audio = golden.audio("padding", MAX_FRAMES, [num_frames])
    counts = torch.tensor([num_frames])
    with torch.no_grad():
        short = model.embed_audio(audio[:, :, : padded_length(num_frames)], counts)
        assert closeness(short, model.embed_audio(audio, counts)) < 2e-6


def test_embeddings_do_not_depend_on_the_batch(clips):
    model = narrow_model()
    one, many = (embed_clips(model, clips, EvaluateSettings(batch_size=size, device="cpu")) for size in (1, 16))
    for a, b in zip(one, many, strict=True):
        assert closeness(a, b) < 5e-6


def test_what_is_called_fp32_has_no_tf32_in_convolutions_and_products(clips, tmp_path, monkeypatch):
    seen, flags = [], (torch.backends.cudnn, torch.backends.cuda.matmul)
    forward = torch.nn.Conv2d.forward

    def watched(layer, values):
        seen.extend(flag.allow_tf32 for flag in flags)
        return forward(layer, values)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    embed_clips(narrow_model(), clips, EvaluateSettings(device="cpu"))
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    given = {"epochs": 1, "batch_size": 8, "embedding_dim": 16, "widths": small.NARROW, "device": "cpu"}
    train(clips, None, TrainSettings(**given), tmp_path)
    assert set(seen) == {False}


def test_a_gpu_whose_driver_is_too_old_for_torch_is_left_alone(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # as the driver counts
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert make_fabric(TrainSettings(), tmp_path).device.type == "cpu"
    assert embed_clips(narrow_model(), clips, EvaluateSettings())[0].device.type == "cpu"


def test_a_clip_comes_out_in_its_own_row(clips):
    model = narrow_model()
    audio, video = embed_clips(model, clips, EvaluateSettings(device="cpu"))
    batch = clips.batch([7], padded_length(int(clips.num_frames[7])))
    with torch.no_grad():
        expected = model(batch.audio, batch.num_frames, batch.video)
    assert closeness(audio[7], expected[0][0]) < 5e-6
    assert closeness(video[7], expected[1][0]) < 5e-6


def test_a_report_has_both_directions_chance_intervals_and_shuffles(clips):
    report = evaluate(narrow_model(), clips, EvaluateSettings(num_bootstrap=50, device="cpu"))
    assert tuple(report) == DIRECTIONS
    for figures in report.values():
        assert figures["num_queries"] == 24
        assert figures["chance"]["R@1"] == pytest.approx(1 / 24)
        low, high = figures["interval"]["R@10"]
        assert low <= figures["metrics"]["R@10"] <= high
        assert figures["shuffled"]["R@10"] == pytest.approx(10 / 24, abs=0.1)
    assert evaluate(narrow_model(), clips, EvaluateSettings(num_bootstrap=50, device="cpu")) == report


def test_rows_fit_the_table_evaluations(clips):
    report = evaluate(narrow_model(), clips, EvaluateSettings(num_bootstrap=10, num_shuffles=2, device="cpu"))
    rows = evaluation_rows(report, checkpoint="c", release="r", split="test")
    assert {name for row in rows for name in row} <= {field.name for field in TABLES["evaluations"].columns}
    check_table("evaluations", make_table("evaluations", [{**row, **OK} for row in rows], recipe="r", run_id="run"))


def test_upstreams_figures_are_those_of_one_matrix_for_both_directions(clips):
    model = narrow_model()
    torch.nn.init.zeros_(model.GU_video.fc.weight)  # all clips look alike: every candidate ties
    report = evaluate(model, clips, EvaluateSettings(metrics="upstream", num_bootstrap=0, num_shuffles=0, device="cpu"))
    metrics = {direction: figures["metrics"] for direction, figures in report.items()}
    assert metrics["video_clip_retrieval"] == {"R@1": 1.0, "R@5": 5.0, "R@10": 10.0, "MedR": 12.5}
    assert metrics["language_retrieval"]["R@10"] == pytest.approx(10 / 24)


def test_rows_of_evaluations_carry_the_shuffled_figures_or_none(clips):
    model = AVLNet(16, clips.video_dim, small.NARROW)
    for num_shuffles in (2, 0):
        report = evaluate(model, clips, EvaluateSettings(num_bootstrap=0, num_shuffles=num_shuffles))
        rows = evaluation_rows(report, "sha", "release", "test")
        shuffled = [report[row["direction"]].get("shuffled", {}).get("R@5") for row in rows]
        assert [row["shuffled_recall_at_5"] for row in rows] == shuffled
        assert (shuffled[0] is None) == (num_shuffles == 0)
