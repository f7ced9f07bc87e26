"""docs/another_language.md, followed line by line on a site whose channels speak Hindi and Korean."""

import json
import re
import shlex
import tomllib
from itertools import cycle, islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datasets.queries import list_facets
from datasets.tables import read_ok
from demo.encode import FPS, encode_video
from demo.pictures import draw_food, draw_frame
from demo.voices import speak
from flows.__main__ import app
from flows.commands.demo import SITE_VARIABLE, serve_channel
from tests.flows.test_docs import BLOCK

TOP = Path(__file__).parents[2]
SENTENCES = {
    "hi": ("प्याज को पतला काट लीजिए", "बर्तन में पानी डालकर उबालिए", "थोड़ा नमक डालकर मिलाइए", "अब मज़े से खाइए"),
    "ko": (
        "양파를 얇게 썰어 주세요",
        "냄비에 물을 붓고 끓입니다",
        "소금을 조금 넣고 섞어 줍니다",
        "이제 맛있게 드세요",
    ),
}
TITLES = {"hi": "आलू मसाला रेसिपी आसान तरीका", "ko": "양파 볶음 만드는 법 쉬운 요리"}
# Rate and pitch: voices so different that no video is taken for a copy of another.
VOICES = ("140:25", "150:45", "160:65", "170:85", "180:35", "190:75", "165:55")


def render_channels(folder, language):
    """Six videos in a language, each of its own channel, and one in English: what the site answers a query with."""
    (folder / "videos").mkdir(parents=True)
    picture = draw_frame(draw_food("Onion", 1), "none", 0).tobytes()
    items = []
    for number in range(7):
        tongue = language if number < 6 else "en"
        said = islice(cycle(SENTENCES[language]), number, number + 8)
        words = ", ".join(said) if number < 6 else "now cut the onion and put it into the pan, " * 5
        sound = speak(words, f"espeak:{tongue}:{VOICES[number]}")
        video_id = f"{language}{number:09d}"
        length_ms = len(sound) * 1000 // 16_000
        encode_video(folder / "videos" / f"{video_id}.mp4", [picture] * (length_ms * FPS // 1000 + 1), sound)
        told = {"title": TITLES[language], "description": SENTENCES[language][number % 4], "language": tongue}
        numbers = {"duration_ms": length_ms, "view_count": 5000 + number, "upload_date": "20250101"}
        channel = {"channel": f"{number}", "channel_id": f"UC{language}{number}", "license": None}
        where = {"id": video_id, "kind": "narrated", "file": f"videos/{video_id}.mp4", "availability": "public"}
        items.append(where | told | numbers | channel)
    (folder / "catalog.json").write_text(json.dumps({"seed": 1, "items": items}), encoding="utf-8")


def configure(folder, language):
    """Step 3 of the page: a copy of the Hindi configuration in which four lines differ; None for Hindi itself."""
    if language == "hi":
        return None
    queries = folder / "korean.tsv"
    rows = ["query\tdish", "양파 볶음 만드는 법\t양파 볶음", "쉬운 요리\t"]
    queries.write_text("\n".join(rows), encoding="utf-8")
    text = (TOP / "configs" / "hindi_cooking.toml").read_text(encoding="utf-8")
    changes = {"root": "data/korean", "queries": str(queries), "language": language, "name": "korean"}
    for field, value in changes.items():
        text, count = re.subn(rf'^{field} = ".*"$', f'{field} = "{value}"', text, flags=re.MULTILINE)
        assert count == 1, field
    tomllib.loads(text)
    (folder / "korean.toml").write_text(text, encoding="utf-8")
    return folder / "korean.toml"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("language", SENTENCES)
def test_the_page_followed_literally_ends_with_clips(language, prefect_server, tmp_path, monkeypatch):
    page = (TOP / "docs" / "another_language.md").read_text(encoding="utf-8")
    assert "change `root`, `search.queries`, `selection.language`, `publish.name`" in page
    lines = [line[2:] for block in BLOCK.finditer(page) for line in block["text"].splitlines()]
    assert [shlex.split(line)[3] for line in lines] == ["curate", "doctor", "curate", "status", "report"]
    render_channels(tmp_path / "channel", language)
    config, root = configure(tmp_path, language), tmp_path / "trial"
    monkeypatch.chdir(TOP)
    with serve_channel(tmp_path / "channel") as address:
        monkeypatch.setenv(SITE_VARIABLE, address)
        # All that makes the site of this machine stand for YouTube.
        site = ['source.name="site"', 'source.search_prefix="demosearch"', "pacer.enabled=false"]
        site += ['source.extractors=["demo.extractor:DemoVideoIE", "demo.extractor:DemoSearchIE"]']
        site += [f"source.watch_url={address}/watch?v={{video_id}}", "download.min_free_bytes=1"]
        for line in lines:
            words = shlex.split(line.replace("data/trial", str(root)))[3:]
            words = [str(config) if config and word == "configs/hindi_cooking.toml" else word for word in words]
            words += [f"--set={one}" for one in site] if words[0] == "curate" else []
            done = CliRunner().invoke(app, words)
            # What the doctor finds is this machine's.
            has_ended = isinstance(done.exception, SystemExit) if words[0] == "doctor" else done.exit_code == 0
            assert has_ended or done.exit_code == 0, f"{line}\n{done.output[-3000:]}\n{done.exception}"
    splits = read_ok(root, "splits", ["clip_id", "video_id", "split"])
    # Of six videos a set of 3 : 1 : 1, the proportion that the configuration asks for.
    assert splits.num_rows == 5 and {*splits["split"].to_pylist()} == {"train", "val", "test"}
    assert f"{language}{6:09d}" not in splits["video_id"].to_pylist()  # which speaks English
    assert "dish" in list_facets(root) and (root / "report.html").is_file()
