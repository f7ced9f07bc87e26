"""Spoken captions of photographs."""

import json
import wave

import numpy as np
import pytest
from PIL import Image

from demo.captions import CARRIERS, SAMPLING_RATE, draw_pictures, plan_captions, render_captions


@pytest.fixture
def photos(tmp_path):
    for split, number in (("train", 1), ("train", 2), ("val", 3), ("test", 4)):
        folder = tmp_path / "photos" / split / "Apple"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (200, 30, 30)).save(folder / f"Royal-Gala_{number:03d}.jpg")
    return tmp_path / "photos"


def test_every_photograph_gets_a_caption_and_those_of_train_as_many_as_asked(photos):
    captions = plan_captions(photos, "en", per_train_photo=3, seed=1)
    assert [caption.split for caption in captions] == ["train"] * 6 + ["val", "test"]
    assert len({caption.uttid for caption in captions}) == 8


@pytest.mark.parametrize(("language", "word"), [("en", "a royal gala apple"), ("ja", "ロイヤルガラのりんご")])
def test_a_caption_names_what_the_photograph_shows(photos, language, word):
    assert all(word in caption.text for caption in plan_captions(photos, language, 5, seed=1))


def test_the_same_seed_plans_the_same_captions_and_another_one_others(photos):
    plans = [plan_captions(photos, "ja", 5, seed) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_a_photograph_of_an_unknown_variety_is_named(photos):
    Image.new("RGB", (8, 8)).save(photos / "val" / "Apple" / "Durian_001.jpg")
    with pytest.raises(ValueError, match="no words for 'Durian'"):
        plan_captions(photos, "en", 1, seed=1)


def test_a_folder_without_photographs_is_named(tmp_path):
    with pytest.raises(ValueError, match="no photographs in"):
        plan_captions(tmp_path, "en", 1, seed=1)


@pytest.mark.parametrize("language", sorted(CARRIERS))
def test_captions_are_heard_at_the_models_sampling_rate(photos, tmp_path, language):
    paths = render_captions(photos, tmp_path / "out", language, per_train_photo=2)
    about = json.loads(paths[0].read_text())
    assert len(about["data"]) == 4
    for path in sorted((tmp_path / "out" / language).glob("*.wav")):
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels()) == (SAMPLING_RATE, 1)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert 0.5 < len(samples) / SAMPLING_RATE < 8
        assert np.abs(samples).max() > 3000


def test_what_is_spoken_already_is_not_spoken_again(photos, tmp_path):
    render_captions(photos, tmp_path / "out", "ja")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    render_captions(photos, tmp_path / "out", "ja")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")} == before


def test_drawings_do_for_photographs_and_each_language_has_its_own(tmp_path):
    for language in ("en", "ja"):
        draw_pictures(tmp_path / language, language, per_food=1)
    plans = [plan_captions(tmp_path / language, language, 1, seed=1) for language in ("en", "ja")]
    assert [len(plan) for plan in plans] == [48, 48]  # sixteen foods in three splits
    pictures = [path.read_bytes() for path in tmp_path.rglob("*.jpg")]
    assert len(set(pictures)) == len(pictures) == 96
