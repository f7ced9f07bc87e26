"""The authors' files from the command line: into a root, and on to training and evaluation; no site involved."""

import json
import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets.tables import list_parts, read_table
from datasets.tombstones import add_tombstones
from flows.__main__ import app
from flows.config import ConfigError, load_config
from flows.stages.original_files import import_original, split_of
from model.data import load_clips
from tests.model.original_files import FILES, LAYOUTS, make_clip, write_original

SMALL = ["batch_size=8", "epochs=2", "embedding_dim=16", "widths=[8,8,8,16,16]"]


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def read(root, *files):
    """What the command does, without Prefect's run around it."""
    return import_original.fn(load_config(None, str(root)), tuple(map(str, files)))


def shown(result):
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.stdout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_data_set_of_the_authors_becomes_a_root(layout, tmp_path):
    sizes = dict.fromkeys(FILES[layout], 6)
    files = write_original(tmp_path / "files", layout, sizes)
    read(tmp_path / "root", *files)
    for split in sizes:
        clips = load_clips(tmp_path / "root", split)
        originals = [LAYOUTS[layout](split, number) for number in range(6)]
        by_sound = {float(original["audio"][0, 0]): original for original in originals}
        for i in range(6):
            original = by_sound.pop(float(clips.frames(i)[0, 0]))
            np.testing.assert_array_equal(clips.frames(i).T, original["audio"])
            pooled = [original.get(f"{family}_pooled", original[family]) for family in ("2d", "3d")]
            halves = [vector / np.linalg.norm(vector) for vector in pooled]
            np.testing.assert_allclose(clips.video[i], np.concatenate(halves), atol=1e-6)


def test_an_imported_root_is_trained_on_and_evaluated_and_its_clips_have_their_times(tmp_path, prefect_server):
    files = write_original(tmp_path, "youcook_japanese", {"train": 16, "val": 4, "test": 6})
    root = ["--root", tmp_path / "root"]
    told = shown(run("import-original", *files, *root))
    assert f"test: 6 clips of 3 videos from {files[2]}" in told
    clips = read_table(tmp_path / "root", "clips").sort_by("clip_id").to_pylist()
    assert (clips[1]["clip_id"], clips[1]["end_ms"]) == ("testjp0_000010500_000016750", 16750)
    small = [f"--set=train.{word}" for word in SMALL]
    shown(run("finetune", *root, *small))
    rows = json.loads(shown(run("evaluate", *root, *small, "--json")).splitlines()[-1])["retrieval"]
    assert {(row["split"], row["queries"]) for row in rows} == {("train", 16), ("test", 6)}
    shown(run("status", *root))


def test_an_import_is_done_once_and_other_files_want_a_root_of_their_own(tmp_path):
    files = write_original(tmp_path, "youcook2", {"train": 4, "val": 4})
    read(tmp_path / "root", *files)
    parts = list_parts(tmp_path / "root", "log_mel")
    assert "already" in read(tmp_path / "root", *files)[0]
    with pytest.raises(ValueError, match="holds other clips: name all files in one command"):
        read(tmp_path / "root", files[0])
    assert list_parts(tmp_path / "root", "log_mel") == parts


def test_what_was_taken_down_stays_away_and_a_video_in_two_splits_is_told(tmp_path):
    root = tmp_path / "root"
    add_tombstones(root, "video", ["trainjp0"], "asked for")
    train = write_original(tmp_path, "youcook_japanese", {"train": 4})[0]
    told = "\n".join(read(root, train, f"test={train}"))
    assert "2 clips of videos that were taken down are left out" in told
    assert "1 videos are in test and in train, such as trainjp1" in told
    assert set(read_table(root, "splits")["video_id"].to_pylist()) == {"trainjp1"}
    assert read_table(root, "splits").num_rows == 4, "named apart"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/youcook_train_audio.pkl", "train"),
        ("youcook_japanese_eval.pkl", "test"),
        ("crosstask_clips_val.pkl", "val"),
        ("msrvtt_1k-A_train.pkl", "train"),
        ("test=train/clips.pkl", "test"),
    ],
)
def test_the_name_says_the_split(name, split):
    assert split_of(name)[0] == split


@pytest.mark.parametrize("name", ["clips.pkl", "train_val.pkl"])
def test_a_name_that_says_no_split_or_two_is_bad_usage(name):
    with pytest.raises(ConfigError, match="put it in front: test="):
        split_of(name)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no file"), (b"no pickle", "is no pickle of clips"), (b"", "pickle of clips")]
)
def test_what_cannot_be_read_is_one_line(content, message, tmp_path):
    if content is not None:
        (tmp_path / "a_train.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=message) as told:
        read(tmp_path / "root", tmp_path / "a_train.pkl")
    assert "\n" not in str(told.value)


def test_features_of_another_size_are_refused_and_half_an_import_is_none(tmp_path):
    for name, dim in (("a_train.pkl", 16), ("b_eval.pkl", 8)):
        (tmp_path / name).write_bytes(pickle.dumps([make_clip(name, 1, dim)]))
    with pytest.raises(ValueError, match="features of several sizes"):
        read(tmp_path / "root", tmp_path / "a_train.pkl", tmp_path / "b_eval.pkl")
    assert read_table(tmp_path / "root", "splits").num_rows == 0


def test_clips_go_back_into_files_that_the_authors_code_reads(tmp_path, prefect_server):
    files = write_original(tmp_path, "youcook_japanese", {"train": 4, "test": 2})
    read(tmp_path / "root", *files)
    told = shown(run("export-original", "--root", tmp_path / "root", "--out", tmp_path / "back"))
    assert told.split() == [str(tmp_path / "back" / f"clips_{name}.pkl") for name in ("train", "eval")]
    back = [tmp_path / "back" / f"clips_{name}.pkl" for name in ("train", "eval")]
    read(tmp_path / "again", *back)
    one, two = (load_clips(tmp_path / name, "train") for name in ("root", "again"))
    assert one.clip_ids == two.clip_ids
    np.testing.assert_array_equal(one.batch(range(4)).audio, two.batch(range(4)).audio)
