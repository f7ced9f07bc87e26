"""Clips of a release by words, by speech and by a picture."""

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from typer.testing import CliRunner

from datasets.outcomes import OK
from datasets.releases.build import build_release
from datasets.releases.layout import read_shards, release_path
from datasets.releases.settings import PublishSettings
from datasets.tables import make_table, read_table, record_run, write_part
from demo.voices import speak
from features.audio import log_mel
from flows.__main__ import app
from flows.finding.clips import Clip, find_words, link_at, read_clips
from flows.finding.embeddings import find_like, find_sound
from flows.finding.index import Index
from flows.finding.search_page import render_search_page, write_search_page
from flows.finding.words import WordIndex, split_words
from model.avlnet import AVLNet
from tests.small_tables import FACTS, RUN, make_root

RUNTIME = Path(__file__).parents[2] / "node_modules" / "onnxruntime-web" / "dist"
SAID = ["玉ねぎを薄く切ります", "フライパンで玉ねぎを炒めます", "Now cut the ONION", "अब प्याज काट लें", "塩を入れます"]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release whose first clips have words."""
    root = make_root(tmp_path_factory.mktemp("found") / "root")
    clips = read_table(root, "splits", ["clip_id", "video_id"]).sort_by("clip_id").to_pylist()
    rows = [
        {**clip, "text": text, "language": "ja", "confidence": 0.5, "engine": "test", **OK}
        for clip, text in zip(clips, SAID, strict=False)
    ]
    write_part(root, "transcripts", make_table("transcripts", rows, recipe="t", run_id="x"))
    encoder = {"name": "whisper", "trained": True, "engine": "test", "precision": "int8", "weights_sha256": "0" * 64}
    record_run(root, "transcripts", "t", {"encoder": encoder})
    build_release(root, PublishSettings(), RUN, date(2026, 11, 24), FACTS)
    return release_path(root, "1.0.0")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "avlnet.pth"
    torch.save(AVLNet(16, 10, (8, 8, 8, 16, 16)).state_dict(), path)
    return path


def search(*words):
    answer = CliRunner().invoke(app, ["search", *map(str, words)])
    return answer.exit_code, answer.output


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("玉ねぎ", SAID[0]),
        ("炒め", SAID[1]),
        ("onion", SAID[2]),
        ("ＣＵＴ", SAID[2]),
        ("प्याज", SAID[3]),
        ("塩", SAID[4]),
    ],
)
def test_words_are_found_in_any_script(release, query, first):
    found = find_words(release, query, 10)
    assert found[0].clip.words == first
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(one.score > 0 for one in found)


def test_what_nobody_says_is_not_found(release):
    assert find_words(release, "とうもろこし", 10) == []


def test_pairs_of_characters_stand_for_words_where_a_script_has_no_spaces():
    assert list(split_words("玉ねぎ 3個", is_query=True)) == ["玉ね", "ねぎ", "3", "個"]
    assert set(split_words("玉ねぎ")) == {"玉", "ね", "ぎ", "玉ね", "ねぎ"}


def test_a_rare_word_counts_more_than_a_common_one_and_a_short_text_more_than_a_long_one():
    index = WordIndex(["salt pepper", "salt garlic", "salt", "salt and a very long story about nothing at all"])
    assert index.score("pepper salt").argmax() == 0
    salt = index.score("salt")
    assert salt[2] > salt[0] > salt[3] > 0


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://www.youtube.com/watch?v=abc", "https://www.youtube.com/watch?v=abc&t=12s"),
        ("https://youtu.be/abc", "https://youtu.be/abc?t=12s"),
        ("https://example.org/abc.mp4", "https://example.org/abc.mp4#t=12"),
        ("javascript:alert(1)", None),
        (None, None),
    ],
)
def test_a_link_begins_at_the_clip(url, link):
    assert link_at(url, 12_900) == link


def test_speech_finds_what_the_model_ranks_first(release, checkpoint, tmp_path):
    samples = (3000 * np.sin(np.arange(32_000) * 0.05)).astype(np.int16)
    wavfile.write(tmp_path / "query.wav", 16_000, samples)
    found = find_sound(release, tmp_path / "query.wav", checkpoint, 12)
    model = AVLNet(16, 10, (8, 8, 8, 16, 16)).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    rows = read_shards(release, "pooled").sort_by("clip_id")
    halves = [torch.tensor(rows[name].to_pylist()) for name in ("pooled_2d", "pooled_3d")]
    video = torch.cat([half / half.norm(dim=1, keepdim=True) for half in halves], dim=1)
    frames = torch.from_numpy(log_mel(samples / 32_768))[None]
    with torch.inference_mode():
        padded = torch.nn.functional.pad(frames, (0, 5120 - frames.shape[2]))
        audio, gallery = model(padded, torch.tensor([frames.shape[2]]), video)
    scores = (gallery @ audio[0]).tolist()
    by_id = dict(zip(rows["clip_id"].to_pylist(), scores, strict=True))
    # A byte a number moves a score of these 16 numbers by no more than a few hundredths of the largest.
    assert [one.score for one in found] == pytest.approx(
        [by_id[one.clip.clip_id] for one in found], abs=0.03 * max(map(abs, scores))
    )
    assert found[0].clip.clip_id == max(by_id, key=lambda clip_id: by_id[clip_id])


def test_the_command_prints_ids_times_and_words_as_json(release):
    code, text = search(release, "玉ねぎ", "--json", "-n", "1")
    assert code == 0
    (found,) = json.loads(text)
    assert found["clip_id"] == read_clips(release)[0].clip_id and found["words"] == SAID[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "one of them"),
        (["onion", "--wav", "x.wav"], "one of them"),
        (["--wav", "x.wav"], "need --checkpoint"),
        (["--wav", "x.wav", "--checkpoint", "none.pth"], "no checkpoint none.pth"),
    ],
)
def test_what_cannot_be_searched_for_is_told_in_one_line(release, words, told):
    code, text = search(release, *words)
    assert code in (2, 3) and told in text and len(text.strip().splitlines()) == 1


def test_a_result_can_be_copied_from_a_narrow_terminal_and_none_is_told(release):
    lines = search(release, "塩")[1].splitlines()
    assert lines[0].split()[1] == read_clips(release)[4].clip_id and lines[1].strip() == SAID[4]
    assert search(release, "とうもろこし") == (0, "no clip is like that\n")


def test_a_picture_by_another_encoder_than_the_releases_is_refused(release, checkpoint, tmp_path):
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "red.png")
    weights = ["--set", "features.encoder_2d=resnet152", "--set", "features.weights_2d=untrained"]
    code, text = search(release, "--image", tmp_path / "red.png", "--checkpoint", checkpoint, *weights)
    assert code == 3 and "was made with" in text


def test_a_release_without_words_says_how_to_get_them(tmp_path):
    root = make_root(tmp_path / "root")
    build_release(root, PublishSettings(), RUN, date(2026, 11, 24), FACTS)
    code, text = search(release_path(root, "1.0.0"), "onion")
    assert code == 3 and "python -m flows transcribe" in text


def test_a_page_holds_the_words_escaped_and_loads_nothing(release, checkpoint, tmp_path):
    text = write_search_page(release, tmp_path / "page", checkpoint).read_text(encoding="utf-8")
    assert SAID[0] in text and "default-src 'none'" in text
    assert "http" not in text.replace("noopener noreferrer", "").partition("<script>")[0].replace("http-equiv", "")


def test_a_page_whose_clips_have_no_link_says_what_names_their_files():
    clips = [Clip("v_000000000_000000001", "v", "train", 0, 1, link, None, "salt") for link in ("https://a/#t=0", None)]
    assert "inspect CLIP_ID" in render_search_page("n", clips[1:], None)
    assert "inspect CLIP_ID" not in render_search_page("n", clips, None)


def test_a_page_without_words_has_no_field_for_them():
    clip = Clip("v_000000000_000000001", "v", "train", 0, 1, None, None, None)
    index = Index.of(np.ones((1, 4), np.float32))
    assert "<div hidden>" in render_search_page("n", [clip], index)
    assert "<div hidden>" not in render_search_page("n", [replace(clip, words="salt")], index)


def test_an_index_of_3000_clips_of_1024_numbers_takes_at_most_4_mb():
    clips = [Clip(f"v_{i:09d}_{i + 1:09d}", "v", "train", i, i + 1, None, None, None) for i in range(3000)]
    rows = np.random.default_rng(0).standard_normal((3000, 1024)).astype(np.float32)
    text = render_search_page("n", clips, Index.of(rows))
    assert len(text.partition('id="index"')[2].partition("</script>")[0]) <= 4_000_000


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_finds_offline_what_python_finds_by_keyboard_alone(browser, release, checkpoint, tmp_path, width):
    path, said = write_search_page(release, tmp_path, checkpoint), []
    shown = "() => [...document.querySelectorAll('#found li')].map(item => item.dataset.clip)"
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.resolve().as_uri())
    for query in ("玉ねぎ", "ONION", "प्याज काट", "塩", "とうもろこし", "切ります フライパン"):
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(query)
        assert page.evaluate(shown) == [one.clip.clip_id for one in find_words(release, query, 10)], query
    page.fill("#query", "CUT the")
    assert page.locator("mark").all_inner_texts() == ["cut", "the"]
    for clip in read_clips(release)[:3]:
        page.fill("#query", "")
        page.get_by_label(f"more like {clip.clip_id}").press("Enter")
        alike = [one.clip.clip_id for one in find_like(release, clip.clip_id, checkpoint, 10)]
        assert page.evaluate(shown) == alike
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.screenshot(path=tmp_path / "page.png")
    assert said == []


@pytest.mark.slow
@pytest.mark.skipif(not RUNTIME.is_dir(), reason="needs `npm install --no-save onnxruntime-web@1.30.0`")
def test_a_browser_hears_what_python_hears_without_network(browser, release, checkpoint, tmp_path):
    recordings = []
    for number, voice in enumerate(("mei:0:1.0", "espeak:en+f2:165:50", "espeak:hi+m3:150:40")):
        sound = speak("玉ねぎを切ります" if number == 0 else "now cut the onion", voice)
        recordings.append(tmp_path / f"{number}.wav")
        wavfile.write(recordings[-1], 16_000, (sound * 32_767).astype(np.int16))
    path, said = write_search_page(release, tmp_path / "page", checkpoint, RUNTIME), []
    shown = "() => [...document.querySelectorAll('#found li')].map(item => item.dataset.clip)"
    page = browser.new_context(offline=True).new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.resolve().as_uri())
    for recording in recordings:
        page.fill("#query", "塩")
        page.set_input_files("#recording", recording)
        page.get_by_text(re.compile("^(What the model|This cannot)")).wait_for()
        expected = [one.clip.clip_id for one in find_sound(release, recording, checkpoint, 10)]
        assert page.evaluate(shown) == expected, page.inner_text("#told")
    assert said == []


def test_another_runtime_than_the_known_one_never_comes_into_a_page(release, checkpoint, tmp_path):
    (tmp_path / "ort.wasm.bundle.min.mjs").write_text("export{a as b};")
    with pytest.raises(ValueError, match="sha256 differs"):
        write_search_page(release, tmp_path / "page", checkpoint, tmp_path)
    assert not (tmp_path / "page" / "index.html").exists()
