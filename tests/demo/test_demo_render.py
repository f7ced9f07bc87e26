import dataclasses
import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from demo import encode, narration
from demo.catalog import EXTRAS
from demo.encode import encode_video
from demo.narration import narrate
from demo.plan import plan_channel
from demo.render import render_channel, render_video
from demo.sound import MAX_NARRATION_MS, PAUSE_MS, SAMPLING_RATE, silence
from demo.voices import speak


@pytest.fixture(scope="module")
def short_plan():
    plan = plan_channel(2, 1, {})[1]
    return dataclasses.replace(plan, steps=plan.steps[:1])


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(narration, "VIDEO_MS", 11_000)


def describe(path):
    run = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", path], capture_output=True, text=True)
    return run.stderr


@pytest.mark.parametrize("voice", ["mei:0:1.0", "espeak:ja+f2:150:50"])
def test_speech_has_no_silence_around_it_and_is_whole_milliseconds_long(voice):
    wave = speak("人参を切ります。", voice)
    assert np.abs(wave[:240]).max() > 0.005 and len(wave) % (SAMPLING_RATE // 1000) == 0
    assert np.abs(wave).max() == pytest.approx(0.7)


def test_truth_covers_the_sound_without_gaps_and_steps_stay_in_their_bounds(short_plan, short):
    track = narrate(short_plan, np.random.default_rng(1))
    ends = [segment["end_ms"] for segment in track.segments]
    assert [0, *ends[:-1]] == [segment["start_ms"] for segment in track.segments]
    assert len(track.waveform) == ends[-1] * SAMPLING_RATE // 1000
    spoken = [segment for segment in track.segments if segment["kind"] == "speech"]
    assert 4500 < spoken[-1]["end_ms"] - spoken[0]["start_ms"] <= MAX_NARRATION_MS
    assert all(later["start_ms"] - earlier["end_ms"] == PAUSE_MS for earlier, later in pairwise(spoken))


def test_a_video_is_rendered_with_its_truth_and_again_with_the_same_bytes(short_plan, short, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        render_video(short_plan, tmp_path / name, None)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first == second
    assert set(first) == {f"{short_plan.video_id}.mp4", f"{short_plan.video_id}.json"}
    truth = json.loads(first[f"{short_plan.video_id}.json"])
    assert truth["pictures"][0]["picture"] == "drawn" and truth["voice"] == short_plan.voice
    words = describe(tmp_path / "one" / f"{short_plan.video_id}.mp4")
    assert "h264" in words and "240x180" in words and "10 fps" in words and "Audio: aac" in words
    hours, minutes, seconds = words.split("Duration: ")[1].split(",")[0].split(":")
    assert int(hours) == int(minutes) == 0 and float(seconds) == pytest.approx(truth["duration_ms"] / 1000, abs=0.1)


@pytest.mark.slow
def test_a_killed_run_leaves_no_worker(tmp_path):
    command = [sys.executable, "-m", "demo", "render", "--out", str(tmp_path), "--videos", "2"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("videos/.render-*/video.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(run.pid)
    run.kill()
    run.wait()
    assert len(workers) >= 2
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def children(pid):
    """Processes that `pid` started."""
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def test_an_encoder_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "WIDTH", 241)  # H.264 of this kind needs an even width
    with pytest.raises(RuntimeError, match="ffmpeg could not encode"):
        encode_video(tmp_path / "x.mp4", iter([bytes(241 * 180 * 3)] * 20), silence(1000))
    assert list(tmp_path.iterdir()) == []


def test_a_channel_without_narration_holds_the_extras_and_a_second_run_touches_nothing(tmp_path):
    told = []
    catalog = render_channel(tmp_path, None, 0, 1, 1, lambda video_id, is_new: told.append(is_new))
    assert [item["kind"] for item in catalog["items"]] == [extra.name for extra in EXTRAS]
    assert told == [True] * 6  # the catalog, and the five that have a file
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    told.clear()
    (tmp_path / "videos" / ".render-left-by-a-killed-run").mkdir()
    assert render_channel(tmp_path, None, 0, 1, 1, lambda video_id, is_new: told.append(is_new)) == catalog
    assert told == [False] * 6
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == stamps
    files = {item["kind"]: tmp_path / item["file"] for item in catalog["items"] if item["file"]}
    assert "Audio" not in describe(files["no audio"]) and "Audio: aac" in describe(files["silent"])
