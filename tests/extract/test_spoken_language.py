"""What is heard decides, when asked to listen: by an injected classifier."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from datasets.tables import make_table
from demo.site import Site
from demo.voices import speak
from extract import selection
from extract.media_store import media_path
from extract.selection import SelectionSettings
from extract.site.fetch import fetch_video
from extract.spoken_language import identify_speech, place_windows
from extract.whisper import make_classifier
from tests.extract.data_channel import QUICK, make_item, make_video, open_channel, source_of
from tests.extract.test_mp4 import encode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channel")
    make_video(folder / "good.mp4", seconds=12)
    return folder


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with open_channel(folder, [make_item("goodvideo01")]) as site:
        yield site


def hear(monkeypatch: pytest.MonkeyPatch, **scores: float) -> SelectionSettings:
    """Settings that listen, to a classifier that always hears the same."""
    monkeypatch.setattr(selection, "make_classifier", lambda _: lambda samples: scores)
    return SelectionSettings().model_copy(update={"spoken_model": Path("model")})


def test_three_windows_lie_in_the_middle_of_the_thirds() -> None:
    assert place_windows(300_000) == [(35_000, 65_000), (135_000, 165_000), (235_000, 265_000)]
    assert place_windows(60_000) == [(0, 20_000), (20_000, 40_000), (40_000, 60_000)]
    assert place_windows(20_000) == [(0, 20_000)]


def test_the_score_is_the_mean_over_the_windows(tmp_path: Path) -> None:
    path = make_video(tmp_path / "long.mp4", seconds=90)
    answers = iter([{"ja": 0.9, "en": 0.1}, {"ja": 0.6}, {"en": 1.0}])
    scores = identify_speech(path, lambda samples: next(answers))
    assert scores == pytest.approx({"ja": 0.5, "en": 1.1 / 3})


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_windows_lie_inside_the_sound_and_silent_ones_do_not_count(ending: str, tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x36:rate=1:duration=120"]
    silence_then_tone = ["-f", "lavfi", "-i", "sine=d=60", "-af", "volume=0:enable='lt(t,20)'"]
    path = tmp_path / f"half.{ending}"
    encode(path, *picture, *silence_then_tone)
    heard: list[int] = []
    identify_speech(path, lambda samples: heard.append(len(samples)) or {"ja": 1.0})
    assert heard == pytest.approx([320_000, 320_000], abs=200)  # Matroska rounds to milliseconds


def test_a_video_of_which_nothing_is_heard_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "silent.mp4", "-f", "lavfi", "-i", "anullsrc=d=40", "-t", "40")
    assert selection.select_by_speech(path, hear(monkeypatch, en=1.0)) == ({}, None)


def test_a_video_in_another_language_is_dropped_with_its_score_and_its_file_deleted(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, media = fetch_video("goodvideo01", tmp_path, source_of(site), hear(monkeypatch, en=0.9, ja=0.1), QUICK)
    assert (video["reason"], video["spoken_language"], video["spoken_score"]) == ("wrong_language", "en", 0.1)
    assert media is None and not list(tmp_path.rglob("*.mp4"))
    make_table("videos", [video], recipe="r", run_id="x")


def test_a_video_in_the_language_is_kept_with_its_score(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, media = fetch_video("goodvideo01", tmp_path, source_of(site), hear(monkeypatch, ja=0.8, en=0.2), QUICK)
    assert (video["status"], video["spoken_score"]) == ("ok", 0.8)
    assert media is not None and media_path(tmp_path, "goodvideo01").is_file()


def test_media_of_an_earlier_run_are_listened_to_and_not_fetched_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_video("goodvideo01", tmp_path, source_of(site), SelectionSettings(), QUICK)
    video, media = fetch_video("goodvideo01", tmp_path, source_of(site), hear(monkeypatch, en=1.0), QUICK)
    assert video["reason"] == "wrong_language" and media is None
    assert sum(path.startswith("/media/") for path in site.RequestHandlerClass.asked) == 1


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("extract.whisper.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match="make setup-whisper"):
        SelectionSettings(spoken_model=tmp_path)


def test_a_real_whisper_hears_what_is_spoken(whisper_model: Path) -> None:
    classify = make_classifier(whisper_model)
    for text, voice, language in (
        ("玉ねぎを薄く切ります。", "mei:0:1.0", "ja"),
        ("Now cut the onion into thin slices, and fry it in butter.", "espeak:en+f2:150:50", "en"),
    ):
        scores = classify(speak(text, voice))
        assert max(scores, key=lambda key: scores[key]) == language
        assert scores[language] > 0.5
