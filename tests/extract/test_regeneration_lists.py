"""Clip lists of others: the same clips whatever file they came in."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from extract.clip_lists import ClipListError, read_list
from extract.regeneration import read_listing


def spans(path: Path, **options: str) -> list[tuple]:
    return [(row["video_id"], row["start_ms"], row["end_ms"], row["split"]) for row in read_list(path, **options).clips]


def test_csv_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("end,start,task,video_id,split\n60,47.25,226,xHr8X2Wpmno,eval\n89,67,226,xHr8X2Wpmno,eval\n")
    assert spans(path) == [("xHr8X2Wpmno", 47250, 60000, "test"), ("xHr8X2Wpmno", 67000, 89000, "test")]
    assert read_list(path).video_ids == ("xHr8X2Wpmno",)


def test_youcook2_annotations(tmp_path: Path) -> None:
    video = {"subset": "training", "duration": 200.1, "annotations": [{"id": 0, "segment": [90, 102], "sentence": "x"}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": {"GLd3aX16zBg": video}}))
    assert spans(path) == [("GLd3aX16zBg", 90_000, 102_000, "train")]
    assert read_list(path).clips[0]["clip_id"] == "GLd3aX16zBg_000090000_000102000"


def test_list_of_video_ids(tmp_path: Path) -> None:
    path = tmp_path / "youcook_japanese_v1.json"
    for ids in (["GLd3aX16zBg", "-abcdefghi_", "GLd3aX16zBg"], {"GLd3aX16zBg": {"url": "x"}, "-abcdefghi_": {}}):
        path.write_text(json.dumps(ids))
        assert read_list(path).video_ids == ("GLd3aX16zBg", "-abcdefghi_")


def test_lists_of_videos_or_segments_by_split(tmp_path: Path) -> None:
    path = tmp_path / "youcook_japanese_v1.json"
    path.write_text(json.dumps({"train": ["GLd3aX16zBg"], "val": [], "eval": ["-abcdefghi_"]}))
    assert read_list(path).video_ids == ("GLd3aX16zBg", "-abcdefghi_")
    path.write_text(json.dumps({"eval": [{"video_id": "GLd3aX16zBg", "start": 1, "end": 9.5}]}))
    assert spans(path) == [("GLd3aX16zBg", 1000, 9500, "test")]


@pytest.mark.parametrize("number", [np.float64(1.5), np.float32(1.5), np.int64(1), np.int32(1)])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickled_times_that_numpy_computed(number: np.number, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([{"video_id": "GLd3aX16zBg", "start": number, "end": 9}], protocol))
    assert spans(path, split="val") == [("GLd3aX16zBg", int(number * 1000), 9000, "val")]


def test_pickle_with_arrays_and_tensors(tmp_path: Path) -> None:
    item = {"video_id": "GLd3aX16zBg", "start": 1.5, "end": 9, "2d": np.zeros(8), "audio": torch.zeros(4, 3)}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([item, {**item, "start": 20, "end": 30}]))
    assert spans(path, split="val") == [("GLd3aX16zBg", 1500, 9000, "val"), ("GLd3aX16zBg", 20_000, 30_000, "val")]


def test_pickle_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([{"video_id": "GLd3aX16zBg", "start": 1, "end": 2, "x": Evil()}]))
    assert len(read_list(path).clips) == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.media
def test_real_lists(shared_media: Path) -> None:
    # 3,350 lines; one clip stands in it twice.
    assert len(read_list(shared_media / "text" / "milnce_validation_youcook.csv").clips) == 3349
    assert len(read_list(shared_media / "text" / "youcook2_segments_en.json").video_ids) == 1739


def test_a_releases_clips_are_those_of_its_manifest_and_a_withdrawn_one_has_none(tmp_path: Path) -> None:
    row = {"clip_id": "GLd3aX16zBg_000000000_000006000", "video_id": "GLd3aX16zBg", "start_ms": 0, "end_ms": 6000}
    listed, stray = (f"data/metadata/train-0000{number}-of-00001.parquet" for number in range(2))
    (tmp_path / "data" / "metadata").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row | {"split": "train"}]), tmp_path / listed)
    pq.write_table(pa.Table.from_pylist([row | {"end_ms": 7000, "split": "train"}]), tmp_path / stray)
    files = [{"path": listed, "family": "metadata", "split": "train"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"tiers": {"full": {"train": 1}}, "files": files}))
    assert spans(tmp_path) == [("GLd3aX16zBg", 0, 6000, "train")]
    (tmp_path / "WITHDRAWN.json").write_text(json.dumps({"why": "taken down", "use_instead": "1.1.0"}))
    with pytest.raises(ClipListError, match=r"was withdrawn \(taken down\): use 1.1.0"):
        read_list(tmp_path)


def test_lists_that_name_nothing_are_refused_before_a_root_is_made(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video_id,start,end\n")
    with pytest.raises(ClipListError, match=r"a\.csv: names no video"):
        read_listing([f"train={tmp_path}/a.csv"])
