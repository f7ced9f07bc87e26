"""The documented commands for the authors' files, run as they stand on imitations of what they need."""

import json
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_docs import BLOCK
from typer.testing import CliRunner

from flows.__main__ import app
from model.avlnet import AVLNet
from model.checkpoints import write_whole
from tests.model.original_files import DIM, write_original
from tests.model.test_howto100m import write_videos

TOP = Path(__file__).parents[2]
NARROW = (8, 8, 8, 16, 16)
TRAINS = ["batch_size=8", "epochs=1", "embedding_dim=16", f"widths={list(NARROW)}"]
SMALL = {
    "experiment": [f"train.{word}" for word in TRAINS] + ["evaluate.num_bootstrap=50", "evaluate.num_shuffles=0"],
    "finetune": [f"train.{word}" for word in TRAINS],
    "evaluate": [f"train.{word}" for word in TRAINS],
    "pretrain": [*(f"train.{word}" for word in TRAINS), "windows.per_video=4", "train.statistics_over=8"],
}


def documented(page, needs):
    """The lines of a page's blocks that need something."""
    for block in BLOCK.finditer((TOP / "docs" / page).read_text(encoding="utf-8")):
        if block["needs"] and needs in block["needs"]:
            yield from (line[2:] for line in block["text"].splitlines() if line.startswith("$ "))


def run(line, *more):
    command, *words = shlex.split(line)[3:]
    sets = [f"--set={word}" for word in (*SMALL.get(command, []), *more)]
    result = CliRunner().invoke(app, [command, *words, *sets])
    assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
    return result.stdout


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty checkout: only configs/, and weights of the right size."""
    (tmp_path / "configs").symlink_to(TOP / "configs")
    (tmp_path / "weights").mkdir()
    torch.manual_seed(0)
    write_whole(tmp_path / "weights" / "AVLnet_release.pth", AVLNet(16, 2 * DIM, NARROW).state_dict())
    write_whole(tmp_path / "weights" / "avlnet_2d.pth", AVLNet(16, 1280, NARROW).state_dict())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_table_1_and_each_data_set_from_the_authors_files(place, prefect_server):
    write_original(place / "data" / "YouCook_Japanese", "youcook_japanese", {"train": 16, "val": 4, "test": 12})
    write_original(place / "data", "youcook2", {"train": 12, "val": 4})
    write_original(place / "data", "crosstask", {"train": 8, "val": 4})
    write_original(place / "data", "msrvtt", {"train": 8, "test": 4})
    shown = {line: run(line) for line in documented("experiments.md", "the files of the authors")}
    (table,) = (text for line, text in shown.items() if "experiment table1" in line)
    assert "7.0/20.4/29.3" in table and "not measured" not in table
    (document,) = json.loads(Path("data/original/experiments/table1.json").read_text(encoding="utf-8"))["tables"]
    rows = {row["row"]: row for row in document["rows"] if row["model"]}
    assert set(rows) == {"a", "b", "c", "d"}
    assert [model["train"]["seed"] for model in rows["d"]["model"]["seeds"]] == [1, 2, 3]
    figures = rows["d"]["ours"]["video_clip_retrieval"]
    assert figures["metrics"]["R@10"] == pytest.approx(np.mean([seed["R@10"] for seed in figures["seeds"]]))
    low, high = figures["interval"]["R@10"]
    assert low <= figures["metrics"]["R@10"] <= high and "seeds" not in rows["b"]["model"]
    assert rows["c"]["model"]["trained_on"] == "data/original/youcook2"


@pytest.mark.slow
def test_pretraining_on_the_originals_features_of_howto100m(place, prefect_server):
    (place / "data").mkdir()
    write_videos(place / "data")
    (place / "data" / "videopaths.csv").rename(place / "data" / "HowTo100M_1166_videopaths.txt")
    (place / "data" / "sounds").rename(place / "data" / "moved")
    (place / "data" / "parsed").rename(place / "data" / "parsed_videos")
    both, only_2d = (
        run(line, "windows.audio_folder=data/moved").split("checkpoint: ")[1].strip()
        for line in documented("training.md", "features of howto")
    )
    sizes = [torch.load(path, weights_only=True)["GU_video.fc.weight"].shape[1] for path in (both, only_2d)]
    assert sizes == [16, 8]


def write_pair(folder, wav, image, seed):
    for path in (folder[0] / wav, folder[1] / image):
        path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (240, 300, 3), np.uint8)
    Image.fromarray(pixels).save(folder[1] / image, quality=90)
    with wave.open(str(folder[0] / wav), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(np.arange(12_000) * 0.05 * (seed + 1))).astype("<i2").tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("language", ["japanese", "hindi"])
def test_table_2_from_the_unpacked_archives_in_one_command(place, language, prefect_server):
    images = place / "data" / "PlacesAudio_400k_distro" / "images"
    for split, size, first in (("train", 10, 0), ("held out", 6, 10)):
        names = [(f"wavs/{i}/utt{i}.wav", f"f/field/gsun_{i}.jpg") for i in range(first, first + size)]
        if language == "japanese":
            folder = place / "data" / "PlacesAudioJpn_100k"
            lines = "".join(f"/{image} /{wav}\n" for wav, image in names)
            name = f"PlacesAudioJpn_100k_image2audio_{'train' if split == 'train' else 'valid'}.txt"
        else:
            folder = place / "data" / "PlacesHindi100k"
            data = [{"wav": wav, "asr_text": "x", "image": image, "speaker": "s"} for wav, image in names]
            lines = json.dumps({"data": data})
            name = f"PlacesHindi100k_{'train' if split == 'train' else 'dev'}.json"
        for seed, (wav, image) in enumerate(names, first):
            write_pair((folder, images), wav, image, seed)
        (folder / name).write_text(lines, encoding="utf-8")
    (line,) = (line for line in documented("experiments.md", "places audio captions") if language in line)
    shown = run(line, "features.encoder_2d=efficientnet_lite0")
    assert f"places_{'hindi' if language == 'japanese' else 'japanese'}) not measured: no test clips" in shown
    tables = json.loads(Path(f"data/places_{language}/experiments/table2.json").read_text(encoding="utf-8"))["tables"]
    (ours,) = (row["ours"] for table in tables for row in table["rows"] if row["row"] == "avlnet" and row["ours"])
    assert ours["video_clip_retrieval"]["num_queries"] == 6
