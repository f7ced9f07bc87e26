"""The page of spoken queries: whom it shows, what it marks, and that a browser shows all of it."""

import json
import re
import wave
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from datasets.outcomes import OK
from datasets.tables import make_table, record_run, write_part
from flows.config import Config
from flows.report.gallery import build_gallery, choose_queries, read_gallery_recipe, shown_recipe
from flows.stages.pairs import fill_pairs

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>'\""
COMMON = {"recipe": "cafe", "run_id": "run"}
NUM_PAIRS = 7


def write_pairs(folder):
    """Seven photographs with captions; one is no image, one has a name that is an attack."""
    (folder / "images").mkdir(parents=True)
    (folder / "audio").mkdir()
    data = []
    for i in range(NUM_PAIRS):
        name = f"{SCRIPT.replace('/', '_')}.jpg" if i == 1 else f"{i}.jpg"
        pixels = np.random.default_rng(i).integers(0, 256, (300, 400, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
        with wave.open(str(folder / "audio" / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((8000 * np.sin(np.arange(16_000) * 0.1 * (i + 1))).astype("<i2").tobytes())
        data.append({"uttid": f"p{i}", "wav": f"{i}.wav", "image": name})
    (folder / "images" / "3.jpg").write_bytes(b"no image")
    metadata = {"image_base_path": "images", "audio_base_path": "audio", "data": data}
    (folder / "test.json").write_text(json.dumps(metadata), encoding="utf-8")


def write_ranks(root, recipe="cafe", num_queries=NUM_PAIRS):
    """Query i has i pairs before its match; the first five are the best of all."""
    best = " ".join(f"p{i}" for i in range(5))
    common = {"checkpoint": "c", "release": "r", "split": "test", "direction": "video_clip_retrieval", "best": best}
    rows = [
        {**common, "clip_id": f"p{i}", "video_id": f"p{i}", "better": i, "tied": 0, **OK} for i in range(num_queries)
    ]
    write_part(root, "ranks", make_table("ranks", rows, recipe=recipe, run_id="run"))
    record_run(root, "ranks", recipe, {})


@pytest.fixture(scope="module")
def config(tmp_path_factory, prefect_server):
    folder = tmp_path_factory.mktemp("gallery")
    write_pairs(folder)
    config = Config.model_validate({"root": str(folder / "root"), "pairs": {"test": str(folder / "test.json")}})
    fill_pairs(config)
    write_ranks(config.root)
    build_gallery(config)
    return config


class Page(HTMLParser):
    """Elements with their attributes, in order."""

    def __init__(self, config):
        super().__init__()
        self.elements = []
        self.text = Path(config.root, "gallery.html").read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def all(self, tag, **wanted):
        return [a for name, a in self.elements if name == tag and wanted.items() <= a.items()]


def test_a_sample_comes_first_then_the_best_then_the_failures_each_named(config):
    page = Page(config)
    assert [a["id"] for a in page.all("section")] == ["drawn", "best", "hardest"]
    assert page.text.index("A sample that nobody chose") < page.text.index("The best") < page.text.index("The hardest")
    places = [int(place) for place in re.findall(r"match at (\d) of 7", page.text)]
    assert sorted(places) == list(range(1, NUM_PAIRS + 1))
    drawn, best, hardest = places[:4], places[4:5], places[5:]
    assert best == [min(set(places) - set(drawn))] and hardest == sorted(set(places) - set(drawn + best), reverse=True)


def test_each_query_has_the_chance_of_its_rank_beside_it(config):
    told = re.findall(
        r"match at (\d) of 7</b>\s*<span class=\"quiet\">chance of that or better: ([\d.]+) %", Page(config).text
    )
    assert len(told) == NUM_PAIRS
    assert all(float(chance) == pytest.approx(100 * int(rank) / NUM_PAIRS, rel=0.01) for rank, chance in told)


def test_each_query_has_its_sound_five_results_and_its_match_marked_once(config):
    page = Page(config)
    assert len(page.all("audio")) == NUM_PAIRS
    # the two worst queries have their match beside the five best
    assert len(page.all("figure")) == 5 * NUM_PAIRS + 2
    assert len(page.all("figure", **{"class": "match"})) == NUM_PAIRS
    assert page.text.count("<b>match, at 6</b>") == page.text.count("<b>match, at 7</b>") == 1


def test_what_cannot_be_read_is_said_instead_of_shown(config):
    page = Page(config)
    assert page.text.count("no picture: its file is not here") == NUM_PAIRS  # p3 is among the best of every query
    assert len(page.all("img")) == 5 * NUM_PAIRS + 2 - NUM_PAIRS


def test_names_from_the_data_are_never_markup(config):
    page = Page(config)
    assert not page.all("script") and not any(name.startswith("on") for _, a in page.elements for name in a)
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in page.all("img"))
    assert "&lt;script&gt;" in page.text


def test_the_page_holds_everything_and_loads_nothing(config):
    page = Page(config)
    assert not page.all("link") and not re.search(r"""(src|href)=["'](?!data:)""", page.text)
    assert "default-src 'none'" in page.text and len(page.text) < 2_000_000


def test_a_page_is_made_anew_only_for_another_evaluation_or_way_to_make_pictures(config, monkeypatch):
    path = Path(config.root, "gallery.html")
    before, of_the_first = path.stat().st_mtime_ns, read_gallery_recipe(str(path))
    build_gallery(config)
    assert path.stat().st_mtime_ns == before
    with monkeypatch.context() as another:
        another.setattr("flows.report.gallery.MADE_BY", "ffmpeg")
        build_gallery(config)
    assert path.stat().st_mtime_ns > before
    write_ranks(config.root, "beef", num_queries=3)
    try:
        build_gallery(config)
        assert read_gallery_recipe(str(path)) == shown_recipe(config.root) != of_the_first
        assert len(Page(config).all("article")) == 3
    finally:
        (Path(config.root) / "ranks" / "_run.json").unlink()
        record_run(config.root, "ranks", "cafe", {})
        build_gallery(config)


def test_of_many_queries_half_are_drawn_and_none_is_shown_twice():
    positions = {f"c{i}": float(p) for i, p in enumerate(np.random.default_rng(0).permutation(1000) + 1)}
    parts = choose_queries(positions, 40)
    assert {name: len(chosen) for name, chosen in parts.items()} == {"drawn": 20, "best": 8, "hardest": 12}
    assert len({clip_id for chosen in parts.values() for clip_id in chosen}) == 40
    assert parts == choose_queries(dict(reversed(positions.items())), 40)
    # A sample of a thousand, not its ends: its mean lies within four of its standard errors of the middle.
    drawn = np.array([positions[clip_id] for clip_id in parts["drawn"]])
    assert abs(drawn.mean() - 500.5) < 4 * 288.7 / 20**0.5
    best, hardest = ([positions[clip_id] for clip_id in parts[name]] for name in ("best", "hardest"))
    assert best == sorted(best) and best[-1] <= 8 + 20 and hardest == sorted(hardest)[::-1] and hardest[-1] >= 989 - 20


def test_few_queries_are_all_shown():
    assert choose_queries({"a": 2.0}, 40) == {"drawn": ["a"], "best": [], "hardest": []}
    parts = choose_queries({"a": 1.0, "b": 3.0, "c": 2.0}, 40)
    assert sorted(clip_id for chosen in parts.values() for clip_id in chosen) == ["a", "b", "c"]


def test_without_an_evaluation_there_is_no_page(tmp_path):
    with pytest.raises(ValueError, match="run `python -m flows evaluate` first"):
        build_gallery(Config(root=str(tmp_path)))


def test_a_page_of_clips_has_the_picture_and_the_sound_of_each(small_config, small_root):
    build_gallery(small_config)
    page = Page(small_config)
    assert len(page.all("article")) == small_config.splits.test == len(page.all("audio"))
    assert len(page.all("img")) == len(page.all("figure")) >= 4 * small_config.splits.test
    assert all(unquote(a["src"]).startswith("data:audio/mpeg;base64,") for a in page.all("audio"))


CHECKS = """() => ({
  broken: [...document.images].filter(i => !(i.complete && i.naturalWidth)).length,
  pictures: document.images.length,
  seconds: [...document.querySelectorAll('audio')].map(a => a.duration),
  tooWide: document.documentElement.scrollWidth > innerWidth,
})"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_shows_all_pictures_and_knows_all_sounds(browser, config, width):
    said = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(Path(config.root, "gallery.html").resolve().as_uri())
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("[...document.images].every(i => i.complete)")
    page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
    found = page.evaluate(CHECKS)
    assert said == []
    assert found["broken"] == 0 and found["pictures"] == 5 * NUM_PAIRS + 2 - NUM_PAIRS
    assert all(0.9 < seconds < 1.3 for seconds in found["seconds"]) and len(found["seconds"]) == NUM_PAIRS
    assert not found["tooWide"]
