"""The page of a root: its figures, its links, and what strangers' text may not do in it."""

import re
import shutil
import wave
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets.ids import make_clip_id
from datasets.outcomes import OK, failed
from datasets.tables import record_run
from datasets.wheels import WEIGHTS_DIR
from extract.speech.weights import WEIGHTS
from flows.__main__ import app
from flows.config import Config
from flows.report.build import build_report
from flows.report.page import SCRIPTS
from tests.flows.report_roots import SCRIPT, Page, build, make_report_root, write


@pytest.fixture
def root(tmp_path):
    return make_report_root(tmp_path / "root")


def cells(page):
    """Rows of all tables as lists of texts."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)
    return [
        [re.sub("<[^>]+>", "", c).strip() for c in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows
    ]


def test_every_section_is_there_and_the_navigation_reaches_it(root):
    page = Page(build(root))
    ids = {section.get("id") for section in page.all("section")}
    names = {"funnel", "not-ok", "clips", "music", "listening", "videos", "retrieval", "provenance"}
    assert ids == names
    assert {link["href"] for link in page.all("a") if link["href"].startswith("#")} == {f"#{name}" for name in ids}


def test_what_has_no_data_is_one_line_or_not_there(tmp_path):
    write(tmp_path, "media", [{"video_id": "v", **failed("network")}])
    page = build(tmp_path)
    ids = {section.get("id") for section in Page(page).all("section")}
    assert ids == {"funnel", "not-ok", "clips", "listening", "retrieval"}
    assert len(Page(page).all("table")) == 2  # funnel, and the video that failed


def test_the_page_says_whose_it_is_and_of_when(root):
    config = {"publish": {"name": "my-kitchen"}, "selection": {"language": "ja"}}
    record_run(root, "clips", "r", {"config": config})
    days = ("20240105", "20231231", "<script>", None)
    videos = [
        {"video_id": f"v{i}", "upload_date": day, "discovered_at": datetime(2026, 11, 3 + i, tzinfo=UTC), **OK}
        for i, day in enumerate(days)
    ]
    write(root, "videos", videos)
    (root / "releases" / "1.2.0").mkdir(parents=True)
    page = build(root)
    assert "<title>my-kitchen 1.2.0 (ja): dataset report</title>" in page and "<h1>my-kitchen 1.2.0 (ja)</h1>" in page
    assert "Videos found from 2026-11-03 to 2026-11-06, uploaded from 2023-12-31 to 2024-01-05." in page
    assert "Latest release: 1.2.0." in page


def test_pages_beside_it_are_linked_where_they_are(root):
    assert "See also" not in build(root)
    (root / "gallery.html").touch()
    (root / "search").mkdir()
    (root / "search" / "index.html").touch()
    addresses = [link["href"] for link in Page(build(root)).all("a")]
    assert {"gallery.html", "search/index.html"} <= set(addresses)


def test_titles_and_words_say_their_language(root):
    record_run(root, "clips", "r", {"config": {"selection": {"language": "ja"}}})
    words = {"text": "味噌を溶きます", "language": "ja", "confidence": 0.9, "engine": "list"}
    clips = [make_clip_id("-a", 4000, 12000), make_clip_id("-a", 15000, 24000)]
    rows = [
        {"clip_id": clips[0], "video_id": "-a", **words, **OK},
        {"clip_id": clips[1], "video_id": "-a", **words, **OK},
    ]
    rows[1] |= {"text": SCRIPT, "language": '"><b>'}
    write(root, "transcripts", rows)
    page = Page(build(root))
    said = [a["lang"] for a in page.all("span") if a.get("class") == "words"]
    assert sorted(said) == ['"><b>', "ja"] and "味噌を溶きます" in "".join(page.texts)
    assert all(title["lang"] == "ja" for title in page.all("h3") if "dir" in title)


def test_every_table_is_within_reach_of_the_keyboard_and_named(root):
    page = Page(build(root))
    boxes = [a for a in page.all("div") if a.get("class") == "wide"]
    assert len(boxes) == len(page.all("table")) > 4
    assert all(a["tabindex"] == "0" and a["aria-label"].startswith("Table: ") for a in boxes)


def test_headings_are_in_order(root):
    levels = [int(tag[1]) for tag, _ in Page(build(root)).elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


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
    assert "No clips yet." in page and "Not evaluated yet." in page and 'href="#videos"' not in page


def test_clips_that_a_list_gave_are_played_on_the_page_and_nothing_speaks_of_segments(root):
    for name in ("segmentations", "segments"):
        shutil.rmtree(root / name)
    page = build(root)
    assert 'id="player"' in page and "what the list that named it says" in page
    assert "<button data-action" not in page  # they go from strip to strip
    assert "segmented</div>" not in page and 'id="videos"' not in page


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
