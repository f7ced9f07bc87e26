"""The page of a root: its figures, its links, and what strangers' text may not do in it."""

import re
import wave
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets.ids import make_clip_id
from datasets.outcomes import OK, dropped, failed
from datasets.tables import make_table, record_run, write_part
from extract.speech.weights import WEIGHTS, WEIGHTS_DIR
from flows.__main__ import app
from flows.config import Config
from flows.report.build import build_report
from flows.report.page import SCRIPTS

SCRIPT = "</h3><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
SEGMENTS = [(0, 4000, "music"), (4000, 12000, "speech"), (12000, 15000, "music"), (15000, 24000, "speech")]


def write(root, name, rows):
    write_part(root, name, make_table(name, rows, recipe="r", run_id="x"))


@pytest.fixture
def root(tmp_path):
    """A root of three videos: one with media and two clips, one whose title is an attack, one that is gone."""
    root = tmp_path / "root"
    titles = {"-a": "みそ汁", "bad": SCRIPT, "gone": "gone"}
    urls = {"-a": "https://example.org/watch?v=-a&x=1", "bad": "javascript:alert(3)", "gone": None}
    outcome = {"gone": failed("removed", "<b>HTTP 410</b>")}
    videos = [{"video_id": v, "title": t, "url": urls[v], **outcome.get(v, OK)} for v, t in titles.items()]
    write(root, "videos", videos)
    write(
        root, "media", [{"video_id": v, "media_path": f"0f/{v}.mp4", "duration_ms": 24000, **OK} for v in ("-a", "bad")]
    )
    write(
        root,
        "segmentations",
        [{"video_id": v, "engine": "fast-smn", "duration_ms": 24000, "speech_ms": 17000, **OK} for v in ("-a", "bad")],
    )
    write(
        root,
        "segments",
        [
            {"video_id": v, "start_ms": start, "end_ms": end, "label": label, **OK}
            for v in ("-a", "bad")
            for start, end, label in SEGMENTS
        ],
    )
    spans = [(4000, 12000, OK), (15000, 24000, OK), (12000, 12500, dropped("clip_too_short"))]
    clips = [
        {"clip_id": make_clip_id("-a", start, end), "video_id": "-a", "start_ms": start, "end_ms": end, **outcome}
        for start, end, outcome in spans
    ]
    write(root, "clips", clips)
    write(root, "splits", [{"clip_id": clips[0]["clip_id"], "video_id": "-a", "split": "test", **OK}])
    encoder = {
        "name": "resnext101_3d",
        "engine": "torch",
        "precision": "fp32",
        "trained": False,
        "weights_sha256": "ab",
    }
    record_run(root, "features_3d", "cafe", {"encoder": encoder, "code_version": "v1"})
    (root / "media_files" / "0f").mkdir(parents=True)
    (root / "media_files" / "0f" / "-a.mp4").touch()
    return root


class Page(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def build(root, **options):
    return Path(build_report(Config(root=str(root)), **options)).read_text(encoding="utf-8")


def cells(page):
    """Rows of all tables as lists of texts."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)
    return [
        [re.sub("<[^>]+>", "", c).strip() for c in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows
    ]


def test_every_section_is_there_and_the_navigation_reaches_it(root):
    page = Page(build(root))
    ids = {section.get("id") for section in page.all("section")}
    names = {"funnel", "not-ok", "clips", "music", "listening", "videos", "retrieval", "queries", "provenance"}
    assert ids == names
    assert {link["href"] for link in page.all("a") if link["href"].startswith("#")} == {f"#{name}" for name in ids}


def test_tables_hold_the_figures_of_the_root(root):
    rows = cells(build(root))
    assert ["clips", "2", "0.3"] in rows
    assert ["videos", "failed", "removed", "1", "never"] in rows
    assert ["test", "1", "1", "0.00", "8.0", ""] in rows
    assert ["in no split", "1", "1", "0.00", "9.0", ""] in rows
    assert ["music", "14.0", "29.2 %", "6.0"] in rows
    assert ["speech", "34.0", "70.8 %", ""] in rows


def test_other_settings_are_compared_with_those_that_cut_the_clips_whatever_configuration_the_report_is_given(root):
    record_run(root, "clips", "r", {"config": {"clips": {"bridge_gap_ms": 500, "too_long": "cut"}}})
    assert [row[:2] for row in cells(build(root)) if row[-1] == "as cut here"] == [["500", "cut"]]


def test_a_policy_is_explained_when_a_reason_has_it(root):
    assert "<dt>never</dt>" in build(root)
    assert "<dt>later</dt>" not in build(root)


def test_features_name_their_encoder_and_a_note_says_it_is_untrained(root):
    page = build(root)
    assert "resnext101_3d, torch, fp32, UNTRAINED weights <code>ab</code>" in page
    assert "these features carry no learned knowledge" in page


def test_text_from_the_web_is_never_markup(root):
    page = Page(build(root))
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert SCRIPT in page.texts


def test_the_script_holds_nothing_from_tables(root):
    inside = re.search("<script>(.*)</script>", build(root), re.DOTALL)[1]
    folder = Path(__file__).parents[2] / "flows" / "report"
    assert inside == "".join((folder / name).read_text() for name in SCRIPTS)


def test_only_web_addresses_become_links(root):
    addresses = [link["href"] for link in Page(build(root)).all("a")]
    assert "https://example.org/watch?v=-a&x=1" in addresses
    assert not any("javascript" in address for address in addresses)


def test_nothing_is_loaded_from_elsewhere(root):
    page = Page(build(root))
    assert not page.all("link") and not any("src" in attributes for _, attributes in page.elements)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_clips_link_to_media_files_that_exist(root):
    clips = [link["href"] for link in Page(build(root)).all("a") if link.get("class") == "clip"]
    assert [clip.partition("#")[2] for clip in clips] == ["t=4.000,12.000", "t=15.000,24.000"]
    assert all((root / unquote(clip.partition("#")[0])).is_file() for clip in clips)


def test_media_beside_the_root_are_linked_too(root, tmp_path):
    (root / "media_files").rename(tmp_path / "media #1")
    config = Config.model_validate({"root": str(root), "run": {"media_root": str(tmp_path / "media #1")}})
    page = Page(Path(build_report(config)).read_text(encoding="utf-8"))
    clip = next(link["href"] for link in page.all("a") if link.get("class") == "clip")
    assert clip.startswith("../media%20%231/") and (root / unquote(clip.partition("#")[0])).is_file()


def test_without_media_there_is_no_player(root):
    (root / "media_files" / "0f" / "-a.mp4").unlink()
    page = build(root)
    assert not Page(page).all("video") and "run.media_root=FOLDER" in page


def test_a_strip_has_a_text_alternative(root):
    labels = [svg["aria-label"] for svg in Page(build(root)).all("svg")]
    assert "0:24 in all: speech 0:17, music 0:07, noise 0:00, no energy 0:00; 2 clips kept" in labels


def test_equal_tables_give_equal_bytes(root, tmp_path):
    first = build(root)
    assert build(root) == first
    root.rename(tmp_path / "moved")
    assert build(tmp_path / "moved") == first


def test_at_most_so_many_videos_are_shown(root):
    assert len(Page(build(root, num_videos=1)).all("article")) == 1


def test_a_root_with_one_table_has_a_page(tmp_path):
    write(tmp_path, "media", [{"video_id": "v", **failed("network")}])
    page = build(tmp_path)
    assert "No clips yet." in page and "No video is segmented yet." in page and "Not evaluated yet." in page


def test_media_that_cannot_be_read_do_not_stop_a_comparison(root):
    assert "of 0 videos (1 more could not be read)" in build(root, num_compared=5)


@pytest.mark.skipif(not (WEIGHTS_DIR / WEIGHTS["sm"][0]).is_file(), reason="needs `make weights`")
def test_a_comparison_asks_the_network_that_did_not_make_the_tables(root):
    tone = (8000 * np.sin(np.arange(5 * 16_000) * 0.2) * (np.arange(5 * 16_000) > 32_000)).astype("<i2")
    with wave.open(str(root / "media_files" / "0f" / "-a.mp4"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(tone.tobytes())
    rows = cells(build(root, num_compared=1))
    header = next(i for i, row in enumerate(rows) if row[0] == "smn says")
    assert rows[header][1] == "sm: speech"
    seconds = {row[0]: [float(text) for text in row[1:]] for row in rows[header + 1 : header + 5]}
    assert seconds["music"][3] == pytest.approx(2.0, abs=0.1)  # the silent beginning, which the tables call music
    assert sum(sum(row) for row in seconds.values()) == pytest.approx(5.0, abs=0.1)


def test_the_command_prints_where_the_page_is(root):
    result = CliRunner().invoke(app, ["report", "--root", str(root)])
    assert result.exit_code == 0 and Path(result.stdout.strip()) == root / "report.html"


def test_a_root_without_tables_is_bad_usage_in_one_line(tmp_path):
    result = CliRunner().invoke(app, ["report", "--root", str(tmp_path / "nowhere")])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "nowhere" in result.stderr
    assert not (tmp_path / "nowhere").exists()
