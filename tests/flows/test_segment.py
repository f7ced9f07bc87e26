"""The segmentation stage: what it refuses, and how it spreads videos over cores."""

import logging
import threading

import numpy as np
import pytest
import typer
from scipy.io import wavfile

from datasets.outcomes import OK
from datasets.tables import make_table, read_table, table_digest, write_part
from datasets.wheels import WEIGHTS_DIR
from extract.speech.segmentation import SpeechSettings
from extract.speech.weights import WEIGHTS
from flows.commands.shared import one_line_errors
from flows.config import Config, RunSettings
from flows.machinery.run import Run
from flows.stages import clip, curate
from flows.stages import segment as stage

needs_weights = pytest.mark.skipif(not (WEIGHTS_DIR / WEIGHTS["smn"][0]).is_file(), reason="needs `make weights`")


def test_missing_weights_stop_curate_before_anything_is_written(tmp_path):
    config = Config(root=str(tmp_path / "root"), speech=SpeechSettings(weights_dir=tmp_path))
    with pytest.raises(ValueError, match="run `make weights`") as error:
        curate.curate.fn(config)
    assert "\n" not in str(error.value) and not (tmp_path / "root").exists()


def make_run(tmp_path, **speech):
    return Run(Config(root=str(tmp_path), speech=SpeechSettings(**speech), run=RunSettings(max_tries=1)), "run")


def segment_all_but(bad):
    def segment(videos, settings):
        if any(video_id == bad for video_id, *_ in videos):
            raise RuntimeError("no memory")
        return [({"video_id": video_id, "num_segments": 0, **OK}, []) for video_id, *_ in videos]

    return segment


def test_a_video_that_spoils_its_unit_is_one_row_and_the_rest_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "segment_videos", segment_all_but("b"))
    rows = stage._segment_unit(make_run(tmp_path, device="cuda"), [(name, "", None) for name in "abc"])
    assert [(row["video_id"], row["status"], row["reason"]) for row, _ in rows] == [
        ("a", "ok", None),
        ("b", "failed", "unexpected"),
        ("c", "ok", None),
    ]


@pytest.mark.parametrize(("device", "size"), [("cpu", 1), ("cuda", 16)])
def test_a_gpu_gets_files_together_and_a_core_one(tmp_path, monkeypatch, device, size):
    sizes = []

    def segment(videos, settings):
        sizes.append(len(videos))
        return segment_all_but(None)(videos, settings)

    monkeypatch.setattr(stage, "segment_videos", segment)
    batch = stage.pa.table(
        {
            "video_id": [f"v{n}" for n in range(20)],
            "media_path": [""] * 20,
            "audio_track": [None] * 20,
            "attempt": [0] * 20,
        }
    )
    stage.segment_batch.fn(batch, make_run(tmp_path, device=device), "recipe")
    assert sorted(sizes) == ([1] * 20 if size == 1 else [4, 16])
    done = read_table(tmp_path, "segmentations")["video_id"].to_pylist()
    assert sorted(done) == sorted(batch["video_id"].to_pylist())


def test_a_gpu_has_one_unit_while_the_next_is_decoded(tmp_path, monkeypatch):
    both = threading.Barrier(2, timeout=60)

    def segment(videos, settings):
        both.wait()
        return segment_all_but(None)(videos, settings)

    monkeypatch.setattr(stage, "segment_videos", segment)
    ids = [f"v{n}" for n in range(32)]
    columns = {"video_id": ids, "media_path": [""] * 32, "audio_track": [None] * 32, "attempt": [0] * 32}
    stage.segment_batch.fn(stage.pa.table(columns), make_run(tmp_path, device="cuda"), "recipe")
    assert read_table(tmp_path, "segmentations").num_rows == 32


@needs_weights
def test_bad_media_go_through_the_stage_as_rows(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "page.mp4").write_bytes(b"<html>")
    for name, samples in (("silent", np.zeros(16000)), ("short", 0.1 * np.ones(1600)), ("nan", np.full(16000, np.nan))):
        wavfile.write(tmp_path / f"{name}.mp4", 16000, samples.astype(np.float32))
    names = ["empty", "page", "gone", "silent", "short", "nan"]
    paths = [str(tmp_path / f"{name}.mp4") for name in names]
    batch = stage.pa.table(
        {"video_id": names, "media_path": paths, "audio_track": [None] * len(names), "attempt": [0] * len(names)}
    )
    stage.segment_batch.fn(batch, make_run(tmp_path / "root"), "recipe")
    rows = {row["video_id"]: row for row in read_table(tmp_path / "root", "segmentations").to_pylist()}
    reasons = ["decode_failed", "decode_failed", "media_missing", None, None, None]
    assert {name: rows[name]["reason"] for name in names} == dict(zip(names, reasons, strict=True))
    assert set(read_table(tmp_path / "root", "segments")["video_id"].to_pylist()) <= {"silent", "short", "nan"}


def test_few_videos_are_spread_over_all_workers(tmp_path, monkeypatch):
    batches = []
    monkeypatch.setattr(stage, "run_batches", lambda task, found, *_, **__: batches.extend(found))
    videos = stage.pa.table({"video_id": [f"v{n}" for n in range(6)], "media_path": [""] * 6})
    monkeypatch.setattr(stage, "media_table", lambda run: videos)
    stage.find_speech(make_run(tmp_path))
    assert [batch.num_rows for batch in batches] == [3, 3]
    assert np.unique([video for batch in batches for video in batch["video_id"].to_pylist()]).size == 6


@pytest.mark.parametrize("name", ["prefect.flow_runs", "prefect.task_runs"])
def test_what_a_person_can_mend_is_told_in_one_line_without_prefects_traceback(name, caplog, capsys, monkeypatch):
    logger = logging.getLogger(name)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    with pytest.raises(typer.Exit), one_line_errors():
        try:
            raise ValueError("run `make weights`")
        except ValueError:
            logger.exception("Encountered exception during execution")
            raise
    assert caplog.text == "" and capsys.readouterr().err == "error: run `make weights`\n"
    logger.error("later")
    assert "later" in caplog.text


def test_videos_in_many_batches_give_the_clips_that_one_batch_gives(tmp_path, monkeypatch):
    ids = [f"{letter}{number}" for number in range(5) for letter in "zam"]
    digests = set()
    for size, at_once in ((2, 10), (4, 1), (100, 1000)):
        run = make_run(tmp_path / str(size))
        made = {"recipe": "s", "run_id": "run"}
        rows = [{"video_id": video_id, "num_segments": 2, "duration_ms": 60_000, **OK} for video_id in ids]
        write_part(run.root, "segmentations", make_table("segmentations", rows, **made))
        speech = [
            {"video_id": video_id, "start_ms": start, "end_ms": start + 6000 + 1000 * index, "label": "speech", **OK}
            for start in (30_000, 0)
            for index, video_id in enumerate(ids)
        ]
        write_part(run.root, "segments", make_table("segments", speech, **made), ids)
        for table in ("segmentations", "segments"):
            run.record(table, "s")
        monkeypatch.setattr(clip, "_VIDEOS_PER_CLIP_BATCH", size)
        monkeypatch.setattr(clip, "_SEGMENTS_AT_ONCE", at_once)
        clip.make_clips(run)
        assert read_table(run.root, "clips").num_rows == 2 * len(ids)
        digests.add(table_digest(run.root, "clips"))
    assert len(digests) == 1
