"""The original's pickles into our tables, and back."""

import pickle

import golden_avlnet as golden
import numpy as np
import pytest
import torch

from datasets.tables import add_common_columns, write_part
from model.data import load_clips
from model.originals.clips import read_clips, tables_of_clips, write_pickle
from model.originals.pickles import LegacyError

NUM_FRAMES = (300, 1024, 5120, 6000)


def clip(i: int) -> dict:
    """Item i of the golden YouCook cases."""
    vectors = {family: golden.RULE["arr"](f"b/yc/{family}/{i}", (2048,)) for family in ("2d", "3d")}
    if i == 3:
        vectors["3d"] = np.zeros(2048, np.float32)
    audio = torch.from_numpy(golden.RULE["arr"](f"b/yc/a/{i}", (40, NUM_FRAMES[i]), 20.0, -40.0))
    times = {"video_id": f"v{i}", "start": 1.5, "end": 1.5 + NUM_FRAMES[i] / 100}
    return {**vectors, "audio": audio, "id": f"v{i}_0", "caption": "x", **times}


def write_root(root, path) -> None:
    for name, table in tables_of_clips(read_clips(path), "train").items():
        write_part(root, name, add_common_columns(table, recipe="legacy", run_id="run"))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("legacy") / "youcook.pkl"
    path.write_bytes(pickle.dumps([clip(i) for i in range(4)], protocol=2))
    return path


@pytest.mark.parametrize(("multiple", "num_padded"), [(1, 1024), (5, 5120)])
def test_clips_of_a_pickle_are_what_the_originals_loader_gives(original, tmp_path, multiple, num_padded):
    write_root(tmp_path, original)
    clips = load_clips(tmp_path, "train")
    batch = clips.batch(range(4), num_padded=num_padded)
    expected = golden.load("b_video_and_loaders.npz")
    assert batch.num_frames.tolist() == list(NUM_FRAMES)
    for i in range(4):
        np.testing.assert_allclose(batch.video[i], expected[f"yc{multiple}_{i}_video"], atol=1e-6)
        np.testing.assert_allclose(batch.audio[i].sum(0), expected[f"yc{multiple}_{i}_audiosum"], rtol=1e-5, atol=2e-3)


def test_clips_are_named_by_video_and_milliseconds(original):
    tables = tables_of_clips(read_clips(original), "val")
    assert tables["splits"]["clip_id"][0].as_py() == "v0_000001500_000004500"
    assert tables["splits"]["split"].unique().to_pylist() == ["val"]


def test_clips_survive_the_way_there_and_back(original, tmp_path):
    write_root(tmp_path / "one", original)
    clips = load_clips(tmp_path / "one", "train")
    write_pickle(clips, 2048, tmp_path / "back.pkl")
    write_root(tmp_path / "two", tmp_path / "back.pkl")
    again = load_clips(tmp_path / "two", "train")
    assert again.clip_ids == clips.clip_ids
    np.testing.assert_array_equal(again.batch(range(4)).audio, clips.batch(range(4)).audio)
    np.testing.assert_allclose(again.video, clips.video, atol=1e-7)


def test_what_we_write_names_nothing_that_old_numpy_lacks(original, tmp_path):
    write_root(tmp_path, original)
    write_pickle(load_clips(tmp_path, "train"), 2048, tmp_path / "back.pkl")
    assert b"numpy._core" not in (tmp_path / "back.pkl").read_bytes()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("key", ["2d", "3d", "audio"])
def test_a_number_that_float32_does_not_hold_is_refused(tmp_path, key, number):
    clips = [clip(0), clip(1)]
    clips[1][key] = np.full(clips[1][key].shape, number)
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(clips))
    with pytest.raises(LegacyError, match=rf"bad\.pkl: {key} of v1_0 must be finite numbers"):
        tables_of_clips(read_clips(tmp_path / "bad.pkl"), "train")


def test_the_largest_numbers_are_normalised_like_any_others(tmp_path):
    one = clip(0) | {"2d": np.full(2048, np.finfo(np.float32).max)}
    (tmp_path / "large.pkl").write_bytes(pickle.dumps([one]))
    vector = tables_of_clips(read_clips(tmp_path / "large.pkl"), "train")["pooled"]["pooled_2d"][0].values.to_numpy()
    np.testing.assert_allclose(vector, 2048**-0.5, rtol=1e-6)


def test_clips_of_one_name_are_named_apart(tmp_path):
    clips = [clip(0), clip(0), {**clip(0), "start": 9, "end": 9}]
    without_times = [{key: one[key] for key in ("2d", "3d", "audio", "id")} for one in clips]
    (tmp_path / "same.pkl").write_bytes(pickle.dumps([*clips, *without_times]))
    tables = tables_of_clips(read_clips(tmp_path / "same.pkl"), "train")
    assert tables["clips"]["clip_id"].to_pylist() == [
        "v0_000001500_000004500", "v0_000001500_000004501", "v0_000009000_000012000",
        "v0_0_000000000_000003000", "v0_0_000000000_000003001", "v0_0_000000000_000003002",
    ]  # fmt: skip
    write_root(tmp_path, tmp_path / "same.pkl")
    assert len(load_clips(tmp_path, "train")) == 6


def test_features_that_are_not_pooled_are_refused(tmp_path):
    (tmp_path / "full.pkl").write_bytes(pickle.dumps([clip(0) | {"2d": np.ones((4, 2048), np.float32)}]))
    with pytest.raises(LegacyError, match=r"2d of v0_0 must be one vector, pooled over time, got \[4, 2048\]"):
        tables_of_clips(read_clips(tmp_path / "full.pkl"), "train")
