"""The paper's tables from the command line: what is measured, what is lacking, and what is written."""

import csv
import hashlib
import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from retrieval_roots import DIM, write_retrieval_root
from typer.testing import CliRunner

from datasets.tables import table_digest
from flows.__main__ import app
from flows.config import ConfigError, load_config
from flows.experiments.measure import draw_clips, fill_root, measure_table
from flows.experiments.paper import read_paper
from flows.experiments.settings import RowSettings, rows_of_table1
from model.avlnet import AVLNet
from model.checkpoints import write_whole
from model.data import load_clips
from model.evaluate import evaluate
from model.ranks import DIRECTIONS

CONFIGS = Path(__file__).parents[2] / "configs"
SIZES = {"train": 24, "val": 6, "test": 20}
NARROW = (8, 8, 8, 16, 16)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_retrieval_root(tmp_path_factory.mktemp("retrieval") / "root", SIZES)


def make_checkpoint(path, seed, video_dim=2 * DIM):
    torch.manual_seed(seed)
    write_whole(path, AVLNet(16, video_dim, NARROW).state_dict())
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return [make_checkpoint(folder / f"{seed}.pth", seed) for seed in (1, 2)]


def table_config(root, out, table="youcook_japanese", **rows):
    """A configuration whose rows train shortly; rows as the configuration has them."""
    text = [f'root = "{root}"', "[evaluate]", "num_bootstrap = 200", "num_shuffles = 2", "[train]"]
    text += ['recipe = "proper"', "epochs = 3", "batch_size = 8", "learning_rate = 3e-3", "embedding_dim = 16"]
    text += [
        f"widths = {list(NARROW)}",
        "[experiments]",
        f'out = "{out}"',
        f"[experiments.{table}]",
        'test_on = "{root}"',
    ]
    for name, row in rows.items():
        text += [f"[experiments.{table}.rows.{name}]", *(f'{key} = "{value}"' for key, value in row.items())]
    path = Path(out) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text), encoding="utf-8")
    return path


@pytest.mark.parametrize(("table", "num_rows", "best"), [
    ("youcook_japanese", 5, {"R@1": 7.6, "R@5": 20.9, "R@10": 29.7}),
    ("places_japanese", 5, {"R@1": 24.3, "R@5": 56.6, "R@10": 70.0}),
    ("places_hindi", 6, {"R@1": 17.0, "R@5": 39.8, "R@10": 51.5}),
])  # fmt: skip
def test_the_papers_rows_are_there_in_both_directions(table, num_rows, best):
    rows = read_paper(table)
    assert len(rows) == num_rows and rows[0].kind == "chance"
    assert all(set(row.recalls) == set(DIRECTIONS) for row in rows)
    assert rows[-1].recalls["language_retrieval"] == best


def test_a_row_is_measured_as_evaluate_measures_it(root, checkpoints, tmp_path):
    config = load_config(table_config(root, tmp_path, b={"checkpoint": checkpoints[0]}))
    result = measure_table(config, "youcook_japanese")
    expected = evaluate(checkpoints[0], load_clips(root, "test"), config.evaluate)
    assert result.measured["b"].report == expected
    assert result.num_queries == 20 and result.chance["R@10"] == pytest.approx(0.5)


def test_a_row_without_data_or_model_says_what_it_lacks_in_one_line(root, checkpoints, tmp_path):
    config = load_config(table_config(
        root, tmp_path, b={"checkpoint": "no/such.pth"}, c={"train_on": tmp_path / "nothing"},
        d={"checkpoint": make_checkpoint(tmp_path / "wide.pth", 0, 4096)}, mine={"checkpoint": checkpoints[0]},
    ))  # fmt: skip
    result = measure_table(config, "youcook_japanese")
    assert set(result.measured) == {"mine"} and set(result.lacking) == {"a", "b", "c", "d"}
    assert "experiments.youcook_japanese.rows.a" in result.lacking["a"]
    assert "no checkpoint no/such.pth" in result.lacking["b"]
    assert "has no features for split 'train'" in result.lacking["c"]
    assert "takes video features of 4096 values, the clips have 32" in result.lacking["d"]
    assert not any("\n" in line for line in result.lacking.values())


def test_without_test_clips_no_row_is_measured(tmp_path):
    result = measure_table(load_config(), "places_hindi")
    assert result.measured == {} and "experiments.places_hindi.test_on" in result.lacking["avlnet"]


def test_two_rows_are_compared_query_by_query(root, checkpoints, tmp_path):
    same = shutil.copy(checkpoints[0], tmp_path / "same.pth")
    rows = {"b": {"checkpoint": checkpoints[0]}, "c": {"checkpoint": same}, "a": {"train_on": root}}
    result = measure_table(load_config(table_config(root, tmp_path, **rows)), "youcook_japanese")
    gains = {(c.first, c.second): c.gains["R@10"] for c in result.comparisons if c.direction == DIRECTIONS[0]}
    assert set(gains) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert gains["b", "c"].mean == 0 and not gains["b", "c"].is_larger_than_noise
    assert gains["a", "b"].mean == pytest.approx(gains["a", "c"].mean)


def test_a_trained_row_is_not_trained_twice(root, tmp_path):
    config = load_config(table_config(root, tmp_path, a={"train_on": "{root}"}))
    first = measure_table(config, "youcook_japanese").measured["a"]
    stamp = Path(first.model["checkpoint"]).stat().st_mtime_ns
    again = measure_table(config, "youcook_japanese").measured["a"]
    assert again.model == first.model and Path(first.model["checkpoint"]).stat().st_mtime_ns == stamp


def test_a_sample_of_the_queries_is_a_matter_of_their_ids(root):
    clips = load_clips(root, "test")
    assert draw_clips(clips, None) is clips and draw_clips(clips, 99) is clips
    some, fewer = draw_clips(clips, 10).clip_ids, draw_clips(clips, 5).clip_ids
    assert len(some) == 10 and set(fewer) < set(some) and some == sorted(some)


def test_a_row_with_a_checkpoint_and_a_training_is_refused(root, tmp_path):
    with pytest.raises(ConfigError, match=r"name it in train\.init_checkpoint"):
        load_config(table_config(root, tmp_path, a={"checkpoint": "x.pth", "train_on": root}))


def run(*words):
    result = CliRunner().invoke(app, ["experiment", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_results_are_written_with_the_digests_they_come_from(root, checkpoints, tmp_path, prefect_server):
    config = table_config(root, tmp_path, b={"checkpoint": checkpoints[0]}, d={"checkpoint": checkpoints[1]})
    document = json.loads(run("youcook-japanese", "--config", config, "--json"))
    assert document == json.loads((tmp_path / "youcook-japanese.json").read_text(encoding="utf-8"))
    table = document["tables"][0]
    assert table["digests"] == {name: table_digest(root, name) for name in ("splits", "pooled", "log_mel")}
    rows = {row["row"]: row for row in table["rows"]}
    assert rows["b"]["model"]["sha256"] == hashlib.sha256(checkpoints[0].read_bytes()).hexdigest()
    assert rows["random"]["ours"]["language_retrieval"]["metrics"]["R@1"] == pytest.approx(1 / 20)
    low, high = rows["d"]["ours"]["video_clip_retrieval"]["interval"]["R@10"]
    assert low <= rows["d"]["ours"]["video_clip_retrieval"]["metrics"]["R@10"] <= high
    lines = list(csv.DictReader((tmp_path / "youcook-japanese.csv").read_text(encoding="utf-8").splitlines()))
    assert [line["row"] for line in lines] == [name for name in ("random", "a", "b", "c", "d") for _ in DIRECTIONS]
    d = next(line for line in lines if line["row"] == "d")
    gain = next(
        g for g in table["differences"] if (g["first"], g["second"], g["direction"]) == ("b", "d", d["direction"])
    )
    low, high = (float(d[f"R@10 gain {end}"]) for end in ("low", "high"))
    assert d["compared_with"] == "b" and (low, high) == (gain["gains"]["R@10"]["low"], gain["gains"]["R@10"]["high"])
    assert d["R@10 larger than noise"] == str(low > 0 or high < 0)
    assert d["num_queries"] == "20" and d["R@1 paper, percent"] == "7.0" and d["data_digest"]
    assert "names" not in d["lacking"] and next(line for line in lines if line["row"] == "a")["lacking"]


def test_the_places_protocol_runs_from_metadata_to_the_papers_table(tmp_path, prefect_server):
    pairs = [f"--set=pairs.{split}={write_places(tmp_path, split, n)}" for split, n in (("train", 6), ("test", 9))]
    train = ["batch_size=4", "epochs=1", "embedding_dim=16", f"widths={list(NARROW)}", "recipe=proper"]
    places = ["test_on={root}", "num_queries=7", "rows.avlnet.train_on={root}"]
    words = ["--root", tmp_path / "root", *pairs, "--set=features.encoder_2d=efficientnet_lite0"]
    words += [f"--set=train.{word}" for word in train] + [f"--set=experiments.places_hindi.{word}" for word in places]
    for command in ("pairs", "featurize"):
        done = CliRunner().invoke(app, [command, *map(str, words)])
        assert done.exit_code == 0, done.output
    shown = run("places", *words)
    assert "Harwath et al." in shown and "AVLnet (places_japanese) not measured: no test clips" in shown
    document = json.loads((tmp_path / "root" / "experiments" / "places.json").read_text(encoding="utf-8"))
    hindi = document["tables"][1]
    assert hindi["num_queries"] == 7 and set(hindi["digests"]) == {"pairs", "pooled", "log_mel"}
    avlnet = next(row for row in hindi["rows"] if row["row"] == "avlnet")
    assert avlnet["ours"]["video_clip_retrieval"]["num_queries"] == 7
    assert avlnet["paper"]["video_clip_retrieval"]["R@10"] == 51.1
    assert avlnet["model"]["train"]["features"] == "2d"


def write_places(folder, split, num_pairs):
    """Metadata of noise with tones, as Places Audio Captions publishes it."""
    (folder / "files").mkdir(exist_ok=True)
    data = []
    for i in range(num_pairs):
        name = f"{split}{i}"
        pixels = np.random.default_rng(i).integers(0, 256, (260, 300, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "files" / f"{name}.png")
        with wave.open(str(folder / "files" / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((8000 * np.sin(np.arange(8_000) * 0.1 * (i + 1))).astype("<i2").tobytes())
        data.append({"uttid": name, "speaker": "s", "asr_text": "", "wav": f"{name}.wav", "image": f"{name}.png"})
    metadata = {"image_base_path": "files", "audio_base_path": "files", "data": data}
    path = folder / f"{split}.json"
    path.write_text(json.dumps(metadata), encoding="utf-8")
    return path


def test_the_demos_experiment_runs_end_to_end(small_root, small_config, tmp_path):
    sizes = [f"--set=train.{name}={list(value) if isinstance(value, tuple) else value}"
             for name, value in small_config.train.model_dump(exclude_unset=True).items()
             if not isinstance(value, str)]  # fmt: skip
    out = f"--set=experiments.out={tmp_path}"
    shown = run("youcook-japanese", "--config", CONFIGS / "demo.toml", "--root", small_root, *sizes, out)
    assert "7.0/20.4/29.3" in shown and "(d) HT100M + YC-JP (youcook_japanese) not measured: no model" in shown
    assert max(map(len, shown.split("not measured")[0].splitlines()[:-1])) <= 80
    rows = json.loads((tmp_path / "youcook-japanese.json").read_text(encoding="utf-8"))["tables"][0]["rows"]
    assert {row["row"] for row in rows if row["ours"]} == {"random", "a"}


def test_what_is_set_for_training_reaches_every_row_that_trains(root, tmp_path):
    text = table_config(root, tmp_path, c={"train_on": root}, d={"train_on": root}).read_text(encoding="utf-8")
    own = "\ntrain = { epochs = 1, batch_size = 8, embedding_dim = 16, widths = [8, 8, 8, 16, 16] }\n"
    (tmp_path / "own.toml").write_text(text + own, encoding="utf-8")
    config = load_config(tmp_path / "own.toml", None, ("train.seed=7", "train.precision=bf16"))
    result = measure_table(config, "youcook_japanese")
    trained = {name: result.measured[name].model["train"] for name in ("c", "d")}
    assert {(train["seed"], train["precision"]) for train in trained.values()} == {(7, "bf16")}
    assert {train["epochs"] for train in trained.values()} == {1, 3}
    one_row = load_config(
        tmp_path / "own.toml", None, ("train.seed=7", "experiments.youcook_japanese.rows.d.train.seed=9")
    )
    assert one_row.experiments.youcook_japanese.rows["d"].train.seed == 9


def test_several_seeds_are_a_mean_and_an_interval_over_them(root, tmp_path):
    config = load_config(table_config(root, tmp_path, a={"train_on": root}), None, ("experiments.seeds=2",))
    result = measure_table(config, "youcook_japanese")
    row, report = result.measured["a"], result.measured["a"].report[DIRECTIONS[0]]
    assert [model["train"]["seed"] for model in row.model["seeds"]] == [1, 2]
    assert report["metrics"]["R@10"] == pytest.approx(np.mean([seed["R@10"] for seed in report["seeds"]]))
    alone = [evaluate(model["checkpoint"], load_clips(root, "test"), config.evaluate) for model in row.model["seeds"]]
    assert report["seeds"] == [one[DIRECTIONS[0]]["metrics"] for one in alone]
    assert "2 seeds" in result.note


def test_a_row_starts_from_another_rows_model_of_the_same_seed(root, tmp_path):
    rows = {"b": {"train_on": root}, "d": {"train_on": root, "starts_from": "b"}}
    config = load_config(table_config(root, tmp_path, **rows), None, ("experiments.seeds=2",))
    result = measure_table(config, "youcook_japanese")
    first, second = (result.measured[name].model["seeds"] for name in ("b", "d"))
    assert [model["init_sha256"] for model in second] == [model["sha256"] for model in first]
    assert len({model["sha256"] for model in (*first, *second)}) == 4
    lonely = load_config(table_config(root, tmp_path / "2", d=rows["d"]), None)
    assert "row b, whose model" in measure_table(lonely, "youcook_japanese").lacking["d"]


@pytest.mark.parametrize("more", [{}, {"train_on": "x", "train": {"init_checkpoint": "y"}}])
def test_a_row_that_starts_from_another_trains_and_from_nothing_else(more):
    with pytest.raises(ValidationError, match=r"a row (that )?starts from another's model"):
        RowSettings(starts_from="b", **more)


@pytest.mark.parametrize("is_parent", [True, False])
def test_table_1_finds_imported_roots_by_their_folder_or_beside_each_other(tmp_path, is_parent):
    (tmp_path / "youcook_japanese" / "splits").mkdir(parents=True)
    root = str(tmp_path if is_parent else tmp_path / "youcook_japanese")
    config = load_config(None, root, ("train.seed=5",), beneath=rows_of_table1(root))
    table = config.experiments.youcook_japanese
    places = [Path(fill_root(name, config)).resolve() for name in (table.test_on, table.rows["c"].train_on)]
    assert places == [tmp_path / "youcook_japanese", tmp_path / "youcook2"]
    trained = {name: row.train for name, row in table.rows.items() if row.train}
    assert {name: (train.epochs, train.seed, train.selection) for name, train in trained.items()} == {
        "a": (15, 5, "last"), "c": (5, 5, "last"), "d": (5, 5, "last"),
    }  # fmt: skip
