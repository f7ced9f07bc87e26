"""The page of a root: its figures, its geometry, and what strangers' text may not do in it."""

import re
import wave
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets.ids import make_clip_id
from datasets.schemas import OK, dropped, failed
from datasets.tables import make_table, record_run, write_part
from extract.weights import WEIGHTS, WEIGHTS_DIR
from flows.__main__ import app
from flows.config import Config
from flows.report.build import build_report
from flows.report.figures import count_lengths, sum_splits
from flows.report.links import clip_fragment, keep_web_address, link_media
from flows.report.music import LABELS, Comparison, add_confusion, spans_by_label, sum_between_speech, sum_labels
from flows.report.strips import STRIP_HEIGHT, cut_to_row, draw_label, format_clock, overlap_ms, place_on_row, split_rows
from flows.report.videos import choose_videos

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
    assert ids == {"funnel", "not-ok", "clips", "music", "videos", "retrieval", "provenance"}
    assert {link["href"] for link in page.all("a") if link["href"].startswith("#")} == {f"#{name}" for name in ids}


def test_tables_hold_the_figures_of_the_root(root):
    rows = cells(build(root))
    assert ["clips", "2", "0.3"] in rows
    assert ["videos", "failed", "removed", "1", "never"] in rows
    assert ["test", "1", "1", "0.00", "8.0", ""] in rows
    assert ["in no split", "1", "1", "0.00", "9.0", ""] in rows
    assert ["music", "14.0", "29.2 %", "6.0"] in rows
    assert ["speech", "34.0", "70.8 %", ""] in rows


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
    assert inside == (Path(__file__).parents[2] / "flows" / "report" / "player.js").read_text()


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
    assert "0:24 in all: speech 17 s, music 7 s, noise 0 s, no energy 0 s; 2 clips kept" in labels


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


def test_a_root_without_tables_is_one_line_and_code_3(tmp_path):
    result = CliRunner().invoke(app, ["report", "--root", str(tmp_path / "nowhere")])
    assert result.exit_code == 3 and result.stderr.count("\n") == 1 and "nowhere" in result.stderr
    assert not (tmp_path / "nowhere").exists()


# Geometry

sorted_spans = st.lists(st.integers(0, 2_000_000), unique=True, max_size=20).map(
    lambda edges: list(zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False))
)


@given(st.integers(1, 40_000_000), st.integers(1000, 600_000))
def test_rows_cover_a_video_without_gaps_and_fit(duration_ms, row_ms):
    rows = split_rows(duration_ms, row_ms)
    assert rows[0][0] == 0 and rows[-1][1] == duration_ms
    assert all(before[1] == after[0] for before, after in pairwise(rows))
    assert all(0 < end - start <= row_ms for start, end in rows)


@given(sorted_spans)
def test_cutting_into_rows_keeps_every_millisecond(spans):
    rows = split_rows(2_000_000)
    cut = [span for row in rows for span in cut_to_row(spans, row)]
    assert sum(b - a for a, b in cut) == sum(b - a for a, b in spans)


@given(st.integers(0, 100_000), st.integers(1, 100_000), st.integers(1, 200_000))
def test_a_placed_clip_lies_on_its_row(start, length, duration_ms):
    place = place_on_row((start, start + length), (0, duration_ms))
    if place is None:
        assert start >= duration_ms
    else:
        left, width = (float(text.removesuffix("%")) for text in place)
        assert left >= 0 and width >= 0 and left + width <= 100.002


def test_a_label_is_drawn_as_rectangles_on_the_ground():
    assert draw_label([(0, 10), (20, 50)], 6) == f"M0 {STRIP_HEIGHT}v-6h10v6zM20 {STRIP_HEIGHT}v-6h30v6z"


@given(sorted_spans, sorted_spans)
def test_overlap_is_symmetric_and_equals_the_sum_over_pairs(first, second):
    pairs = sum(max(0, min(b, d) - max(a, c)) for a, b in first for c, d in second)
    assert overlap_ms(first, second) == overlap_ms(second, first) == pairs


@pytest.mark.parametrize(("ms", "text"), [(0, "0:00"), (65_999, "1:05"), (3_600_000, "1:00:00")])
def test_clock(ms, text):
    assert format_clock(ms) == text


# Figures


@given(st.lists(st.integers(1, 4_000_000), min_size=1, max_size=30))
def test_every_clip_is_in_one_bar(lengths):
    bars = count_lengths(pd.Series(lengths))
    assert sum(bar.count for bar in bars) == len(lengths)
    assert len(bars) <= 20


def test_clips_of_5_to_50_seconds_have_bars_of_2500_ms():
    bars = count_lengths(pd.Series([5000, 7499, 7500, 50_000]))
    assert [(bar.start_ms, bar.count) for bar in bars if bar.count] == [(5000, 2), (7500, 1), (47_500, 1)]


def test_hours_are_summed_by_split():
    clips = pd.DataFrame(
        {"video_id": ["a", "a", "b"], "length_ms": [3_600_000, 1_800_000, 5000], "split": ["train", "train", ""]}
    )
    rows = sum_splits(clips).set_index("split")
    assert (rows.loc["train", "hours"], rows.loc["train", "videos"], rows.loc["val", "clips"]) == (1.5, 1, 0)
    assert rows.loc["in no split", "clips"] == 1


def frame(*segments, video_id="v"):
    rows = [(video_id, start, end, label) for start, end, label in segments]
    return pd.DataFrame(rows, columns=["video_id", "start_ms", "end_ms", "label"])


@pytest.mark.parametrize(("pause_ms", "expected"), [(10_000, 10_000), (10_001, 0)])
def test_music_in_a_pause_of_exactly_the_limit_counts(pause_ms, expected):
    segments = frame((0, 1000, "speech"), (1000, 1000 + pause_ms, "music"), (1000 + pause_ms, 20_000, "speech"))
    assert sum_between_speech(segments) == {"music": expected, "noise": 0}


def test_music_before_the_first_speech_after_the_last_and_across_videos_does_not_count():
    one = frame((0, 100, "music"), (100, 200, "speech"), (200, 300, "music"), video_id="a")
    two = frame((0, 100, "music"), (100, 200, "speech"), (200, 300, "noise"), video_id="b")
    assert sum_between_speech(pd.concat([two, one])) == {"music": 0, "noise": 0}


def test_a_pause_of_several_labels_counts_each_by_itself():
    segments = frame((0, 10, "speech"), (10, 20, "noise"), (20, 25, "no_energy"), (25, 60, "music"), (60, 70, "speech"))
    assert sum_between_speech(segments) == {"music": 35, "noise": 10}


def test_no_segments_have_no_labels():
    assert sum_labels(frame()) == dict.fromkeys(LABELS, 0)
    assert sum_between_speech(frame()) == {"music": 0, "noise": 0}


def test_confusion_crosses_the_labels_of_two_networks():
    confusion = {(a, b): 0 for a in LABELS for b in LABELS}
    own, other = frame((0, 60, "music"), (60, 100, "speech")), frame((0, 45, "music"), (45, 100, "speech"))
    add_confusion(confusion, spans_by_label(own), spans_by_label(other))
    expected = {("music", "music"): 45, ("music", "speech"): 15, ("speech", "speech"): 40}
    assert {pair: ms for pair, ms in confusion.items() if ms} == expected
    assert Comparison("smn", "sm", 1, 0, confusion).music_share == 0.25


# Links and choice


def test_videos_with_media_come_first_and_rows_may_come_in_any_order():
    ids = [f"v{i}" for i in range(30)]
    links = {"v7": "x", "v3": "y"}
    chosen = choose_videos(ids, links, 5)
    assert set(chosen[:2]) == {"v3", "v7"} and len(chosen) == 5
    assert choose_videos(reversed(ids), links, 5) == chosen


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//host/x", "http://[", None]
)
def test_an_address_that_is_not_of_the_web_is_left_out(url):
    assert keep_web_address(url) is None


def test_a_media_name_with_a_colon_stays_a_path(tmp_path):
    (tmp_path / "javascript:x").touch()
    assert link_media(str(tmp_path), tmp_path, "javascript:x") == "javascript%3Ax"


@pytest.mark.parametrize("name", [None, "absent.mp4"])
def test_media_that_are_not_here_have_no_link(tmp_path, name):
    assert link_media(str(tmp_path), tmp_path, name) is None


def test_media_of_a_root_on_an_object_store_have_no_link(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert link_media("s3://bucket/root", tmp_path, "a.mp4") is None


def test_a_fragment_names_seconds_to_the_millisecond():
    assert clip_fragment(4720, 3_600_005) == "#t=4.720,3600.005"
