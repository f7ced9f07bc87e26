"""The commands that train and evaluate, over a copy of the small root's tables."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from retrieval_roots import COMMON, clip_ids_of, write_retrieval_root
from typer.testing import CliRunner

from datasets.outcomes import OK
from datasets.tables import make_table, read_table, record_run, write_part
from flows.__main__ import app

TOP = Path(__file__).parents[2]
TABLES = ("splits", "clips", "segments", "features_2d", "features_3d", "log_mel", "pooled")
WINDOWS = ("--set=windows.per_video=2", "--set=windows.num_frames=300")


@pytest.fixture
def root(small_root, tmp_path):
    """Only what training reads, so that the shared root stays as it is."""
    for table in TABLES:
        shutil.copytree(Path(small_root) / table, tmp_path / "root" / table)
    return tmp_path / "root"


@pytest.fixture
def words(root, small_words):
    return [f"--config={TOP / 'configs' / 'demo.toml'}", f"--root={root}", *small_words]


def run(command, *arguments):
    return CliRunner().invoke(app, [command, *arguments])


def checkpoint_of(result):
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return Path(result.output.split("checkpoint: ")[1].split("\n")[0])


def weights(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("drawn", ["random", "speech"])
def test_pretraining_runs_on_whole_videos_and_its_weights_start_a_finetuning(words, drawn):
    pretrained = checkpoint_of(run("pretrain", *words, *WINDOWS, f"--set=windows.drawn={drawn}"))
    assert weights(pretrained)["GU_video.fc.weight"].shape == (64, 1280 + 2048)
    tuned = checkpoint_of(run("finetune", *words, "--recipe=finetune", f"--set=train.init_checkpoint={pretrained}"))
    assert tuned != pretrained


def test_pretraining_by_2d_features_makes_the_variant_for_images_and_refuses_bimodal_weights(words):
    bimodal = checkpoint_of(run("pretrain", *words, *WINDOWS))
    for_images = checkpoint_of(run("pretrain", *words, *WINDOWS, "--features=2d"))
    assert weights(for_images)["GU_video.fc.weight"].shape == (64, 1280)
    refused = run("pretrain", *words, *WINDOWS, "--features=2d", f"--set=train.init_checkpoint={bimodal}")
    assert refused.exit_code == 3
    assert "takes video features of 3328 values, the clips have 1280" in refused.stderr
    assert "made by pretrain --features 2d" in refused.stderr


def test_a_recipe_goes_over_the_file_and_set_over_the_recipe(words, root):
    scratch = weights(checkpoint_of(run("finetune", *words, "--recipe=scratch")))
    assert scratch["DAVEnet.bn1.num_batches_tracked"] == 0, "batch norm frozen, although the file says proper"
    both = weights(checkpoint_of(run("finetune", *words, "--recipe=scratch", "--recipe=proper")))
    assert both["DAVEnet.bn1.num_batches_tracked"] == 2, "one epoch of 8 clips in batches of 4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe=best"], "--recipe must be one of scratch, finetune, howto100m, upstream, proper, got 'best'"),
        (["--recipe=finetune"], "--recipe finetune needs weights: set train.init_checkpoint"),
        (["--set=train.features=3d"], "train.features"),
    ],
)
def test_what_cannot_be_trained_is_bad_usage(arguments, message, tmp_path):
    result = run("finetune", f"--root={tmp_path}", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_evaluation_by_upstreams_metrics_is_another_row_of_figures(words, root):
    checkpoint_of(run("finetune", *words))
    for metrics in ("upstream", "expected"):
        result = run("evaluate", *words, f"--metrics={metrics}", "--json")
        assert result.exit_code == 0, result.output
        assert len(read_table(root, "evaluations")) == 4
    assert len(list((root / "evaluations").glob("*/*.parquet"))) == 2


def test_images_with_spoken_captions_are_trained_on_and_evaluated_by_their_own_split(tmp_path, prefect_server):
    ids = clip_ids_of({"train": 12, "test": 6})
    write_retrieval_root(tmp_path, {}, ids=ids, is_3d=False)
    shutil.rmtree(tmp_path / "splits")
    files = {"image_path": "none.jpg", "audio_path": "none.wav"}  # retrieval needs none
    rows = [
        {"pair_id": i, "split": split, "language": "ja", **files, **OK} for split, names in ids.items() for i in names
    ]
    write_part(tmp_path, "pairs", make_table("pairs", rows, **COMMON))
    record_run(tmp_path, "pairs", "r", {"folders": {split: [str(tmp_path)] * 2 for split in ids}})
    small = ["batch_size=4", "epochs=2", "embedding_dim=16", "widths=[8,8,8,16,16]", "features=2d"]
    words = [f"--root={tmp_path}", *(f"--set=train.{setting}" for setting in small)]
    assert weights(checkpoint_of(run("finetune", *words)))["GU_video.fc.weight"].shape == (16, 16)
    result = run("evaluate", *words, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout.splitlines()[-1])["retrieval"]
    assert {(row["split"], row["queries"]) for row in rows} == {("train", 12), ("test", 6)}
    refused = run("finetune", *words, "--set=train.features=2d+3d")
    assert refused.exit_code == 3 and "there are no 3D features: set train.features=2d" in refused.stderr


@pytest.mark.slow  # torchrun, and Prefect's server in its first process
def test_torchrun_finetunes_in_two_processes(words, root, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    torchrun = ["torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}"]
    # Names of this machine need not resolve.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "USE_LIBUV": "0"}
    command = [sys.executable, "-m", *torchrun, "-m", "flows", "finetune", *words, "--recipe=upstream"]
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoints = {Path(line.split("checkpoint: ")[1]) for line in done.stdout.splitlines() if "checkpoint: " in line}
    assert len(checkpoints) == 1 and next(iter(checkpoints)).is_file()
