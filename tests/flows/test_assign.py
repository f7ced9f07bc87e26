"""Splits from the tables of a root: pins survive growth, copies stay together, and the root proves it."""

import importlib

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from datasets.files import read_json
from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.schemas import list_of_vectors
from datasets.splits.certificate import search_duplicates, verify_certificate
from datasets.splits.draw import SplitError, SplitSettings, draw_splits
from datasets.splits.duplicates import DuplicateSettings
from datasets.splits.pins import read_assignment
from datasets.tables import add_common_columns, current_recipe, make_table, write_part
from flows.__main__ import app
from flows.config import Config
from flows.machinery.run import Run
from flows.stages.split import assign_splits

SIZES = {"train": 20, "val": 6, "test": 6}


def add_videos(root, numbers, sound_of=lambda number: number):
    """Two clips of each video; videos of one sound are copies. A channel has three."""
    clips, videos, sounds = [], [], []
    for number in numbers:
        video = {"video_id": f"v{number:02d}"}
        items = np.random.default_rng(sound_of(number)).integers(0, 1 << 32, 900, dtype=np.uint32)
        for start in (0, 9000):
            times = {"start_ms": start, "end_ms": start + 6000, "speech_ms": 6000}
            clips.append({"clip_id": make_clip_id(video["video_id"], start, start + 6000), **video, **times, **OK})
        videos.append({**video, "channel_id": f"c{number // 3}", **OK})
        sounds.append({**video, "duration_ms": 120_000, "fingerprint": items.tobytes(), **OK})
    for name, rows in (("clips", clips), ("videos", videos), ("segmentations", sounds)):
        write_part(root, name, make_table(name, rows, recipe="r", run_id="run"))


def assign(root, **splits):
    assign_splits(Run(Config(root=str(root), splits=SplitSettings(**{**SIZES, **splits})), "run"))
    return {row["clip_id"]: row["split"] for row in read_assignment(root).to_pylist()}


def stamps(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_the_certificate_holds_what_was_asked_and_found(tmp_path):
    add_videos(tmp_path, range(30), lambda number: number // 2)
    assign(tmp_path, group_by_channel=True, group_by_duplicates=True, seed=4, max_per_video=2)
    certificate = read_json(tmp_path / "splits.certificate.json")
    assert certificate["passed"] and certificate["seed"] == 4 and certificate["asked"] == SIZES
    assert {"no video in two splits", "no channel in two splits", "no duplicate in two splits"} <= set(
        certificate["checks"]
    )
    assert certificate["pool"]["groups"]["duplicate"] == {"groups": 15, "videos": 30}
    assert len(certificate["digests"]["groups"]) == 2 and certificate["digests"]["clips"]
    assert verify_certificate(tmp_path) == []


def test_copies_are_never_divided(tmp_path):
    add_videos(tmp_path, range(30), lambda number: number % 15)
    drawn = assign(tmp_path, group_by_duplicates=True)
    by_sound = {}
    for clip, split in drawn.items():
        by_sound.setdefault(int(clip[1:3]) % 15, set()).add(split)
    assert all(len(splits) == 1 for splits in by_sound.values())


def add_features(root, numbers, looks_like):
    """Features of every clip that drift at random, by the number of the picture that a video shows."""
    rows = []
    for number in numbers:
        for start in (0, 9000):
            rng = np.random.default_rng([looks_like(number), start])
            values = np.cumsum(rng.normal(0, 1, (6, 32)), axis=0) + 3
            values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)
            keys = {"clip_id": make_clip_id(f"v{number:02d}", start, start + 6000), "video_id": f"v{number:02d}"}
            rows.append({**keys, "values": values.tolist(), "row_start_ms": [1000 * row for row in range(6)], **OK})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["values"] = pa.array(columns["values"], list_of_vectors(32, pa.float16()))
    columns["reason"] = columns["detail"] = pa.nulls(len(rows), pa.string())
    write_part(root, "features_2d", add_common_columns(pa.table(columns), recipe="r", run_id="run"))


def test_videos_that_look_alike_are_never_divided_once_there_are_features(tmp_path, caplog):
    pytest.importorskip("faiss", reason="needs `make setup-duplicates`")
    add_videos(tmp_path, range(30))
    plain = assign(tmp_path)
    assert assign(tmp_path, group_by_content=True).keys() == plain.keys()
    assert "there are no 2D features yet" in caplog.text
    add_features(tmp_path, range(30), lambda number: number % 15)
    drawn, by_look = assign(tmp_path, group_by_content=True), {}
    for clip, split in drawn.items():
        by_look.setdefault(int(clip[1:3]) % 15, set()).add(split)
    assert all(len(splits) == 1 for splits in by_look.values())
    certificate = read_json(tmp_path / "splits.certificate.json")
    assert certificate["checks"]["no content in two splits"]["passed"]
    assert certificate["pool"]["groups"]["content"] == {"groups": 15, "videos": 30}
    assert verify_certificate(tmp_path) == []


def test_content_is_no_part_of_a_recipe_that_does_not_ask_for_it():
    assert not [name for name in SplitSettings().recipe_fields() if "content" in name]


def test_copies_are_searched_again_only_when_the_fingerprints_or_the_settings_change(tmp_path, monkeypatch):
    searched = []

    def search(root, settings):
        searched.append(settings.max_bit_error_rate)
        return search_duplicates(root, settings)

    monkeypatch.setattr("flows.stages.split.search_duplicates", search)
    add_videos(tmp_path, range(30), lambda number: number % 15)
    first = assign(tmp_path, group_by_duplicates=True)
    assert assign(tmp_path, group_by_duplicates=True) == first and len(searched) == 1
    other_rate = {"group_by_duplicates": True, "duplicates": DuplicateSettings(max_bit_error_rate=0.1)}
    assign(tmp_path, **other_rate)
    add_videos(tmp_path, range(30, 34))
    assign(tmp_path, **other_rate)
    assert searched == [0.2, 0.1, 0.1] and verify_certificate(tmp_path) == []


def test_that_there_are_no_copies_is_remembered_too(tmp_path, monkeypatch):
    add_videos(tmp_path, range(20))
    assign(tmp_path, group_by_duplicates=True)
    monkeypatch.setattr("flows.stages.split.search_duplicates", lambda *_: pytest.fail("searched again"))
    assign(tmp_path, group_by_duplicates=True)


def test_growing_with_an_earlier_root_pinned_moves_no_clip(tmp_path):
    first_root, second_root = tmp_path / "first", tmp_path / "second"
    add_videos(first_root, range(20))
    first = assign(first_root)
    add_videos(second_root, range(40))
    second = assign(second_root, train=30, seed=9, pinned_from=str(first_root))
    assert first.items() <= second.items() and len(second) == 42
    for path in sorted(first_root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert verify_certificate(second_root) == []


def test_growing_a_root_that_pins_itself_moves_no_clip(tmp_path):
    own = {"pinned_from": str(tmp_path), "scale": True, "train": 1000, "val": 300, "test": 300}
    drawn = {}
    for numbers in (range(15), range(15, 25), range(25, 60)):
        add_videos(tmp_path, numbers)
        grown = assign(tmp_path, **own)
        assert drawn.items() <= grown.items() and len(grown) > len(drawn)
        assert verify_certificate(tmp_path) == []
        before, drawn = stamps(tmp_path), grown
        assert assign(tmp_path, **own) == drawn
        assert stamps(tmp_path) == before


def test_a_draw_killed_before_it_was_recorded_keeps_the_same_pins(tmp_path, monkeypatch):
    own = {"pinned_from": str(tmp_path)}
    add_videos(tmp_path, range(20))
    assign(tmp_path, **own)
    add_videos(tmp_path, range(20, 40))

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("flows.stages.split.write_certificate", die)
        assign(tmp_path, train=30, **own)
    killed = set(tmp_path.glob("splits/*/*.parquet"))
    assign(tmp_path, train=30, **own)
    assert set(tmp_path.glob("splits/*/*.parquet")) == killed
    assert verify_certificate(tmp_path) == []


def test_a_draw_that_fails_a_check_is_not_recorded(tmp_path, monkeypatch):
    add_videos(tmp_path, range(30), lambda number: number % 15)
    monkeypatch.setattr("flows.stages.split.draw_exactly", lambda c, request: draw_splits(c, request.sizes, 0))
    with pytest.raises(SplitError, match="the draw fails a check"):
        assign(tmp_path, group_by_duplicates=True)
    assert current_recipe(tmp_path, "splits") is None
    assert any("no duplicate in two splits" in problem for problem in verify_certificate(tmp_path))


def test_other_pins_are_another_recipe(tmp_path):
    add_videos(tmp_path / "a", range(20))
    add_videos(tmp_path / "b", range(20))
    assign(tmp_path / "a", seed=1)
    assign(tmp_path / "b")
    unpinned = current_recipe(tmp_path / "b", "splits")
    assert assign(tmp_path / "b", pinned_from=str(tmp_path / "a")) == assign(tmp_path / "a", seed=1)
    assert current_recipe(tmp_path / "b", "splits") != unpinned


def test_pins_that_are_not_there_stop_the_run(tmp_path):
    add_videos(tmp_path, range(20))
    with pytest.raises(SplitError, match=r"splits\.pinned_from: no splits table"):
        assign(tmp_path, pinned_from=str(tmp_path / "nowhere"))


def test_scale_is_an_option_of_curate(monkeypatch):
    importlib.import_module("flows.machinery.checks")  # else it would keep what stands in here for tests to come
    seen = []
    monkeypatch.setattr("flows.machinery.forecast.forecast_curation", lambda config: seen.append(config.splits.scale))
    monkeypatch.setattr("flows.commands.curation.show", lambda *_: None)
    for arguments in (["--scale"], [], ["--scale", "--set", "splits.scale=false"]):
        assert CliRunner().invoke(app, ["curate", "--dry-run", *arguments]).exit_code == 0
    assert seen == [True, False, True]
    assert "--scale" in CliRunner().invoke(app, ["curate", "--help"], color=False).output
