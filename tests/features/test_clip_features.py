import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from datasets.ids import make_clip_id
from datasets.schemas import TABLES
from datasets.tables import add_common_columns, read_table, table_digest, write_part
from features import clip_features
from features.clip_features import Encoders, FeatureSettings, feature_recipes, featurize_clips, load_encoders
from features.encoders.encoder import Encoder
from features.encoders.engines import num_cores
from features.frames.processes import Decoders

TOP = Path(__file__).parents[2]
SETTINGS = FeatureSettings(encoder_2d="efficientnet_lite0", weights_3d="untrained", engine="openvino", device="cpu")


@pytest.fixture(scope="session")
def encoders(get_encoder: Callable[..., Encoder]) -> Encoders:
    return Encoders(
        get_encoder("efficientnet_lite0", None, "openvino", "cpu"),
        get_encoder("resnext101_3d", "untrained", "openvino", "cpu"),
    )


def make_clips(*rows: tuple[str, Path, int, int]) -> pa.Table:
    return pa.table(
        {
            "clip_id": [make_clip_id(video, start, end) for video, _, start, end in rows],
            "video_id": [video for video, _, _, _ in rows],
            "start_ms": pa.array([start for _, _, start, _ in rows], pa.int64()),
            "end_ms": pa.array([end for _, _, _, end in rows], pa.int64()),
            "media_path": [str(path) for _, path, _, _ in rows],
        }
    )


def rows_of(table: pa.Table, row: int) -> np.ndarray:
    value = table["values"][row].values
    return value.flatten().to_numpy().reshape(len(value), -1)


@pytest.fixture(scope="session")
def good_clips(golden_clip: Path) -> pa.Table:
    return make_clips(("g", golden_clip, 0, 1500), ("g", golden_clip, 1500, 3400), ("g", golden_clip, 1000, 1400))


@pytest.fixture(scope="session")
def good_tables(good_clips: pa.Table, encoders: Encoders) -> dict[str, pa.Table]:
    return featurize_clips(good_clips, encoders, SETTINGS)


def test_every_table_has_a_row_a_clip_in_order(good_clips: pa.Table, good_tables: dict[str, pa.Table]) -> None:
    assert set(good_tables) == {"features_2d", "features_3d", "log_mel", "pooled"}
    for name, table in good_tables.items():
        assert table["clip_id"].to_pylist() == good_clips["clip_id"].to_pylist(), name
        assert table["status"].to_pylist() == ["ok"] * 3, name


def test_rows_are_normalised_and_have_times_in_the_video(good_tables: dict[str, pa.Table]) -> None:
    rows = rows_of(good_tables["features_3d"], 1)
    assert rows.dtype == np.float16
    assert np.abs(np.linalg.norm(rows.astype(np.float32), axis=1) - 1).max() < 1e-3
    assert good_tables["features_3d"]["row_start_ms"].to_pylist()[1] == [1500, 2166, 2833]
    assert good_tables["features_2d"]["row_start_ms"].to_pylist()[1] == [1500, 2500]
    assert good_tables["features_3d"]["num_valid_frames"].to_pylist() == [4, 14, 10]
    assert good_tables["log_mel"]["num_frames"].to_pylist() == [151, 191, 41]


def test_pooled_is_the_maximum_of_the_stored_rows(good_tables: dict[str, pa.Table]) -> None:
    highest = rows_of(good_tables["features_2d"], 1).astype(np.float32).max(axis=0)
    pooled = np.array(good_tables["pooled"]["pooled_2d"].to_pylist()[1], np.float32)
    assert np.allclose(pooled, highest / np.linalg.norm(highest), atol=1e-7)


def test_tables_are_written_and_read_back(tmp_path: Path, good_tables: dict[str, pa.Table]) -> None:
    for name, table in good_tables.items():
        write_part(tmp_path, name, add_common_columns(table, recipe="r", run_id="test"))
        assert read_table(tmp_path, name).select(table.column_names).equals(table)


def test_without_a_3d_encoder_there_is_no_3d_table_and_the_others_are_the_same(
    good_clips: pa.Table, good_tables: dict[str, pa.Table], encoders: Encoders
) -> None:
    settings = SETTINGS.model_copy(update={"encoder_3d": "none"})
    alone = load_encoders(settings)
    tables = featurize_clips(good_clips, alone, settings)
    assert set(tables) == set(feature_recipes(settings, alone)) == {"features_2d", "log_mel", "pooled"}
    for name in ("features_2d", "log_mel"):
        assert tables[name].equals(good_tables[name])
    assert tables["pooled"]["pooled_2d"].equals(good_tables["pooled"]["pooled_2d"])
    assert tables["pooled"]["pooled_3d"].null_count == good_clips.num_rows
    assert set(tables["pooled"]["status"].to_pylist()) == {"ok"}


@pytest.mark.parametrize("engine", ["openvino", pytest.param("torch", marks=pytest.mark.slow)])
def test_batches_order_and_workers_change_no_digest(
    tmp_path: Path, good_clips: pa.Table, golden_clip: Path, get_encoder: Callable[..., Encoder], engine: str
) -> None:
    more = make_clips(("h", golden_clip, 100, 700), ("h", golden_clip, 2000, 2300), ("i", golden_clip, 8000, 8500))
    clips = pa.concat_tables([good_clips, more])
    encoders = Encoders(
        get_encoder("efficientnet_lite0", None, engine, "cpu"), get_encoder("resnext101_3d", "untrained", engine, "cpu")
    )
    digests = []
    for seed, num_workers in enumerate((1, 1, 2, 3)):
        order = np.random.default_rng(seed).permutation(clips.num_rows) if seed else np.arange(clips.num_rows)
        batches = np.split(order, [] if seed == 0 else [1, 3] if seed == 1 else [2, 3])
        root = tmp_path / str(seed)
        with ThreadPoolExecutor(num_workers) as workers:
            done = list(workers.map(lambda rows: featurize_clips(clips.take(rows), encoders, SETTINGS), batches))
        for tables in done:
            for name, table in tables.items():
                write_part(root, name, add_common_columns(table, recipe="r", run_id=str(seed)))
        digests.append({name: table_digest(root, name) for name in done[0]})
    assert digests[1:] == digests[:1] * 3


def test_a_clip_in_pieces_has_the_features_of_a_whole_one(
    good_clips: pa.Table, good_tables: dict[str, pa.Table], encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.clip_features._WINDOWS_PER_PIECE", 1)
    monkeypatch.setattr(encoders.encoder_3d, "batch_size", 2)
    for name, table in featurize_clips(good_clips, encoders, SETTINGS).items():
        assert table.equals(good_tables[name]), name


def test_whatever_is_wrong_with_a_clip_it_leaves_a_row_with_a_reason(
    tmp_path: Path,
    make_media: Callable[..., Path],
    ffmpeg: Callable[..., bytes],
    golden_clip: Path,
    encoders: Encoders,
) -> None:
    sound = tmp_path / "sound.m4a"
    ffmpeg("-i", str(golden_clip), "-vn", "-c:a", "copy", str(sound))
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    one = make_media("one.mp4", "320x180", 0.02, "-frames:v", "1", rate=60, audio=False)
    whole = make_media("long.mp4", "320x180", 12, "-movflags", "+faststart", "-g", "25", rate=10).read_bytes()
    truncated, corrupt = tmp_path / "truncated.mp4", tmp_path / "corrupt.mp4"
    truncated.write_bytes(whole[: len(whole) // 2])
    corrupt.write_bytes(whole[: len(whole) // 2] + bytes(3000) + whole[len(whole) // 2 + 3000 :])
    clips = make_clips(
        ("missing", tmp_path / "none.mp4", 0, 1000),
        ("empty", empty, 0, 1000),
        ("sound", sound, 0, 1000),
        ("one", one, 0, 17),
        ("past", golden_clip, 9000, 9500),
        ("half_past", golden_clip, 3000, 9500),
        ("truncated", truncated, 8000, 11_000),
        ("corrupt", corrupt, 4000, 9000),
    )
    tables = featurize_clips(clips, encoders, SETTINGS)
    in_processes = featurize_clips(clips, replace(encoders, decoders=Decoders(2)), SETTINGS)
    assert all(in_processes[name].equals(table) for name, table in tables.items())
    reasons = ["media_missing", "decode_failed", "no_video", None, *["clip_past_end"] * 2, *["decode_failed"] * 2]
    for name in ("features_2d", "features_3d", "pooled"):
        assert tables[name]["reason"].to_pylist() == reasons, name
    assert tables["log_mel"]["reason"].to_pylist() == [*reasons[:3], "no_audio", *reasons[4:]]
    assert set(filter(None, reasons)) <= set(TABLES["pooled"].reasons)
    assert all(detail for detail, reason in zip(tables["pooled"]["detail"].to_pylist(), reasons, strict=True) if reason)


def test_a_clip_whose_picture_ends_early_is_dropped_and_one_that_misses_a_little_says_so(
    tmp_path: Path, encoders: Encoders, make_media: Callable[..., Path], ffmpeg: Callable[..., bytes]
) -> None:
    picture, path = make_media("short.mp4", "320x180", 6, "-g", "12", audio=False), tmp_path / "frozen.mp4"
    sound = ["-f", "lavfi", "-i", "sine=d=20", "-map", "0:v", "-map", "1:a", "-c:v", "copy"]
    ffmpeg("-i", str(picture), *sound, str(path))
    clips = make_clips(("most", path, 0, 7400), ("half", path, 3000, 9000), ("none", path, 10_000, 14_000))
    pooled = featurize_clips(clips, encoders, SETTINGS)["pooled"]
    assert pooled["status"].to_pylist() == ["ok", "dropped", "dropped"]
    assert pooled["reason"].to_pylist() == [None, "picture_missing", "picture_missing"]
    assert pooled["detail"].to_pylist()[:2] == ["1.4 s of picture missing", "3.0 s of picture missing, of 6.0 s"]


def test_no_clips_give_empty_tables(good_clips: pa.Table, encoders: Encoders) -> None:
    tables = featurize_clips(good_clips.slice(0, 0), encoders, SETTINGS)
    assert {name: table.num_rows for name, table in tables.items()} == dict.fromkeys(tables, 0)


@pytest.mark.parametrize(
    ("changed", "tables"),
    [
        ({"window_step_3d": 48}, {"features_3d", "pooled"}),
        ({"max_damaged_share": 0.5}, {"features_2d", "features_3d", "log_mel", "pooled"}),
        ({"max_missing_share": 0.5}, {"features_2d", "features_3d", "log_mel", "pooled"}),
        ({"num_threads": 1, "decode_processes": 2}, set()),
    ],
)
def test_a_setting_changes_the_recipes_of_what_it_changes(
    changed: dict[str, Any], tables: set[str], encoders: Encoders
) -> None:
    before = feature_recipes(SETTINGS, encoders)
    after = feature_recipes(SETTINGS.model_copy(update=changed), encoders)
    assert {name for name in before if before[name] != after[name]} == tables


def test_an_encoder_of_the_wrong_kind_is_told_by_field() -> None:
    with pytest.raises(ValueError, match=r"features\.encoder_3d must be a 3d network"):
        load_encoders(SETTINGS.model_copy(update={"encoder_3d": "efficientnet_lite0", "weights_3d": None}))


@pytest.mark.parametrize(
    ("changed", "has_gpu", "num_processes"),
    [
        ({}, False, 0),
        ({"decode_processes": 2}, False, 2),
        ({}, True, num_cores()),
        ({"num_threads": 5}, True, 5),
        ({"engine": "openvino"}, True, 0),
        ({"decode_processes": 0}, True, 0),
        ({"device": "cpu"}, True, 0),
    ],
)
def test_processes_decode_where_the_networks_are_on_a_gpu_or_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], has_gpu: bool, num_processes: int
) -> None:
    monkeypatch.setattr(clip_features, "_load", lambda *_, **__: None)
    monkeypatch.setattr(clip_features, "has_gpu", lambda: has_gpu)
    settings = SETTINGS.model_copy(update={"device": "auto", "engine": "auto", **changed})
    decoders = load_encoders(settings).decoders
    assert (decoders._idle.qsize() if decoders else 0) == num_processes


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_nvdec_without_a_gpu_is_told_before_any_clip() -> None:
    with pytest.raises(ValueError, match=r"features\.decoder = 'nvdec' needs an NVIDIA GPU"):
        load_encoders(SETTINGS.model_copy(update={"decoder": "nvdec"}))


def test_a_process_that_featurizes_by_openvino_never_loads_torch(good_clips: pa.Table, tmp_path: Path) -> None:
    pq.write_table(good_clips.slice(0, 1), tmp_path / "clips.parquet")
    script = (
        "import sys, pyarrow.parquet as pq\n"
        "from features.clip_features import FeatureSettings, featurize_clips, load_encoders\n"
        f"settings = FeatureSettings.model_validate_json({SETTINGS.model_dump_json()!r})\n"
        f"clips = pq.read_table({str(tmp_path / 'clips.parquet')!r})\n"
        "tables = featurize_clips(clips, load_encoders(settings), settings)\n"
        "assert tables['pooled']['status'].to_pylist() == ['ok']\n"
        "assert not sys.modules.keys() & {'torch', 'torchvision', 'timm'}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
