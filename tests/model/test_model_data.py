"""Clips joined from a root's tables."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datasets.outcomes import OK, dropped
from datasets.tables import add_common_columns, make_table, read_table, write_part
from model.data import has_split, load_clips, padded_length

COMMON = {"recipe": "r", "run_id": "run"}
CLIP_IDS = ["b_2", "a_1", "c_3", "d_4"]
NUM_FRAMES = [7, 3, 5, 4]


def frames_of(clip_id: str, num_frames: int) -> np.ndarray:
    generator = np.random.default_rng(ord(clip_id[0]))
    return generator.uniform(-80, 0, (num_frames, 40)).astype(np.float32)


def outcomes(rows: list[dict]) -> dict[str, list]:
    return {name: [row[name] for row in rows] for name in ("status", "reason", "detail")}


def write_tables(root, sizes: tuple[int, int] = (6, 8)) -> None:
    """Four clips: d_4 has no audio features, c_3 is a test clip."""
    splits = ["train", "train", "test", "train"]
    rows = [{"clip_id": i, "video_id": i[0], "split": s, **OK} for i, s in zip(CLIP_IDS, splits, strict=True)]
    write_part(root, "splits", make_table("splits", rows, **COMMON))
    clips = {"clip_id": CLIP_IDS, "video_id": [i[0] for i in CLIP_IDS]}
    values = [frames_of(i, n).tolist() for i, n in zip(CLIP_IDS, NUM_FRAMES, strict=True)]
    columns = {
        **{name: pa.array(column) for name, column in clips.items()},
        "values": pa.array([*values[:3], None], pa.list_(pa.list_(pa.float32(), 40))),
        "num_frames": pa.array([*NUM_FRAMES[:3], None], pa.int32()),
        **outcomes([OK, OK, OK, dropped("no_audio")]),
    }
    write_part(root, "log_mel", with_types(columns))
    vectors = [np.random.default_rng(k).standard_normal((4, size)).astype(np.float32) for k, size in enumerate(sizes)]
    columns = {
        **{name: pa.array(column) for name, column in clips.items()},
        "pooled_2d": pa.array(vectors[0].tolist(), pa.list_(pa.float32())),
        "pooled_3d": pa.array(vectors[1].tolist(), pa.list_(pa.float32())),
        **outcomes([OK] * 4),
    }
    write_part(root, "pooled", with_types(columns))


def with_types(columns: dict, attempt: int = 0) -> pa.Table:
    for name in ("reason", "detail"):
        columns[name] = pa.array(columns[name], pa.string())
    table = pa.table(columns)
    status = pa.field("status", pa.string(), nullable=False)
    table = table.set_column(table.column_names.index("status"), status, table["status"])
    return add_common_columns(table, recipe="r", run_id="run", attempt=attempt)


def test_clips_come_sorted_with_their_own_frames_and_vectors(tmp_path):
    write_tables(tmp_path)
    clips = load_clips(tmp_path, "train")
    assert clips.clip_ids == ["a_1", "b_2"]
    assert clips.num_without_features == 1
    batch = clips.batch([1, 0])
    assert batch.num_frames.tolist() == [7, 3]
    assert batch.audio.shape == (2, 40, 7)
    np.testing.assert_array_equal(batch.audio[0].T, frames_of("b_2", 7))
    np.testing.assert_array_equal(batch.audio[1, :, :3].T, frames_of("a_1", 3))
    assert not batch.audio[1, :, 3:].any(), "padded with 0"


def test_the_video_vector_is_the_2d_half_then_the_3d_half_each_of_length_one(tmp_path):
    write_tables(tmp_path)
    clips = load_clips(tmp_path, "train")
    assert clips.video_dim == 14
    for half in (clips.video[:, :6], clips.video[:, 6:]):
        np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, rtol=1e-6)
    assert load_clips(tmp_path, "train", features=["2d"]).video_dim == 6
    np.testing.assert_array_equal(load_clips(tmp_path, "train", features=["2d"]).video, clips.video[:, :6])


def test_a_long_clip_is_cut_and_keeps_its_frame_count(tmp_path):
    write_tables(tmp_path)
    batch = load_clips(tmp_path, "train").batch([1], num_padded=4)
    assert batch.audio.shape == (1, 40, 4)
    assert batch.num_frames.tolist() == [7]


def test_a_split_without_features_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no features for split 'train' \(0 clips\): run featurize"):
        load_clips(tmp_path, "train")
    write_tables(tmp_path)
    with pytest.raises(ValueError, match="'val'"):
        load_clips(tmp_path, "val")


def test_an_unknown_family_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\['4d'\]"):
        load_clips(tmp_path, "train", features=["4d"])


@given(st.integers(0, 10_000))
def test_padding_covers_the_clip_and_the_receptive_field(num_frames):
    padded = padded_length(num_frames)
    assert padded % 16 == 0
    assert padded == 5120 or num_frames + 420 <= padded < num_frames + 436


def test_batches_are_float32_tensors(tmp_path):
    write_tables(tmp_path)
    batch = load_clips(tmp_path, "test").batch([0])
    assert (batch.audio.dtype, batch.num_frames.dtype, batch.video.dtype) == (torch.float32, torch.int64, torch.float32)


def test_a_cache_gives_the_same_batches_from_a_memory_map(tmp_path):
    write_tables(tmp_path / "root")
    plain = load_clips(tmp_path / "root", "train").batch([0, 1])
    first = load_clips(tmp_path / "root", "train", cache_dir=tmp_path / "cache").batch([0, 1])
    written = sorted((tmp_path / "cache").iterdir())
    times = [path.stat().st_mtime_ns for path in written]
    again = load_clips(tmp_path / "root", "train", cache_dir=tmp_path / "cache")
    assert [path.stat().st_mtime_ns for path in written] == times
    assert not again.chunks[0].flags.owndata
    for batch in (first, again.batch([0, 1])):
        assert torch.equal(batch.audio, plain.audio)


def test_the_highest_attempt_of_a_clip_wins(tmp_path):
    write_tables(tmp_path)
    columns = {
        "clip_id": pa.array(["d_4", "a_1"]),
        "video_id": pa.array(["d", "a"]),
        "values": pa.array([frames_of("d_4", 4).tolist(), None], pa.list_(pa.list_(pa.float32(), 40))),
        "num_frames": pa.array([4, None], pa.int32()),
        **outcomes([OK, dropped("no_audio")]),
    }
    write_part(tmp_path, "log_mel", with_types(columns, attempt=1))
    assert load_clips(tmp_path, "train").clip_ids == ["b_2", "d_4"]


def test_shards_of_a_release_load_like_its_tables(tmp_path):
    write_tables(tmp_path / "root")
    expected = load_clips(tmp_path / "root", "train")
    for name, columns in (
        ("log_mel", ["clip_id", "video_id", "values"]),
        ("pooled", ["clip_id", "video_id", "pooled_2d", "pooled_3d"]),
    ):
        table = read_table(tmp_path / "root", name, [*columns, "status"])
        table = table.filter(pc.is_in(table["clip_id"], pa.array(expected.clip_ids))).select(columns)
        folder = tmp_path / "release" / "data" / name
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "train-00000-of-00001.parquet")
    clips = load_clips(tmp_path / "release", "train")
    assert clips.clip_ids == expected.clip_ids
    assert torch.equal(clips.batch([0, 1]).audio, expected.batch([0, 1]).audio)
    np.testing.assert_array_equal(clips.video, expected.video)


def write_release(folder, log_mel, pooled):
    for name, table in (("log_mel", log_mel), ("pooled", pooled)):
        (folder / "data" / name).mkdir(parents=True)
        pq.write_table(table, folder / "data" / name / "train-00000-of-00001.parquet", row_group_size=1 << 30)


def test_a_shard_that_would_fill_the_memory_is_refused(tmp_path):
    num_frames = 1 << 20  # of one value: some kilobytes on disk, 160 MB in memory
    silence = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(num_frames * 40, np.float32)), 40)
    log_mel = pa.table({"clip_id": ["a_1"], "values": pa.ListArray.from_arrays([0, num_frames], silence)})
    pooled = pa.table({"clip_id": ["a_1"], "video_id": ["a"], "pooled_2d": [[1.0]], "pooled_3d": [[1.0]]})
    write_release(tmp_path, log_mel, pooled)
    with pytest.raises(ValueError, match="row group 0 claims"):
        load_clips(tmp_path, "train")


def test_a_shard_whose_vectors_are_text_is_refused_by_the_columns_name(tmp_path):
    frames = pa.array([frames_of("a_1", 3).tolist()], pa.list_(pa.list_(pa.float32(), 40)))
    pooled = pa.table({"clip_id": ["a_1"], "video_id": ["a"], "pooled_2d": ["words"], "pooled_3d": [[1.0]]})
    write_release(tmp_path, pa.table({"clip_id": ["a_1"], "values": frames}), pooled)
    with pytest.raises(ValueError, match="pooled_2d must hold lists of numbers"):
        load_clips(tmp_path, "train")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 3e38])
def test_a_shard_whose_vectors_have_no_finite_length_is_refused(tmp_path, number):
    frames = pa.array([frames_of("a_1", 3).tolist()], pa.list_(pa.list_(pa.float32(), 40)))
    vectors = pa.array([[number, 1.0]], pa.list_(pa.float32()))
    pooled = pa.table({"clip_id": ["a_1"], "video_id": ["a"], "pooled_2d": vectors, "pooled_3d": [[1.0]]})
    write_release(tmp_path, pa.table({"clip_id": ["a_1"], "values": frames}), pooled)
    with pytest.raises(ValueError, match="pooled_2d must hold finite numbers"):
        load_clips(tmp_path, "train")


def test_pairs_load_by_their_own_split_with_the_2d_half_only(tmp_path):
    write_tables(tmp_path / "clips")
    root = tmp_path / "pairs"
    splits = ["train", "test", "train", "train"]
    rows = [{"pair_id": i, "split": s, "language": "ja", **OK} for i, s in zip(CLIP_IDS, splits, strict=True)]
    write_part(root, "pairs", make_table("pairs", rows, **COMMON))
    for name in ("log_mel", "pooled"):
        table = read_table(tmp_path / "clips", name)
        if name == "pooled":
            nothing = pa.nulls(table.num_rows, pa.list_(pa.float32()))
            table = table.set_column(table.column_names.index("pooled_3d"), "pooled_3d", nothing)
        write_part(root, name, table)
    assert load_clips(root, "train", ["2d"]).clip_ids == ["b_2", "c_3"]
    assert load_clips(root, "test", ["2d"]).video_dim == 6
    assert (has_split(root, "test"), has_split(root, "val")) == (True, False)
    with pytest.raises(ValueError, match=r"there are no 3D features: set train\.features=2d"):
        load_clips(root, "train")
