"""The report's arithmetic: geometry of strips, figures, links."""

from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.wording import format_clock
from flows.clip_choices import choose_videos
from flows.report.figures import count_lengths, sum_splits
from flows.report.links import clip_fragment, keep_web_address, link_media
from flows.report.music import LABELS, Comparison, add_confusion, spans_by_label, sum_between_speech, sum_labels
from flows.report.strips import STRIP_HEIGHT, cut_to_row, draw_label, overlap_ms, place_on_row, split_rows

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


def test_other_gaps_give_other_clips_and_ours_is_marked():
    from extract.clips import ClipSettings
    from flows.clip_choices import count_choices

    spans = [("speech", 0, 4000), ("no_energy", 4000, 4600), ("speech", 4600, 8000)]
    segments = pd.DataFrame(
        [{"video_id": "v", "label": label, "start_ms": start, "end_ms": end} for label, start, end in spans]
    )
    choices = count_choices(segments, pd.Series({"v": 8000}), ["v"], ClipSettings(bridge_gap_ms=700))
    assert {(c.bridge_gap_ms, c.num_clips) for c in choices} == {(0, 0), (300, 0), (500, 0), (700, 1), (1000, 1)}
    assert [(c.bridge_gap_ms, c.too_long) for c in choices if c.is_ours] == [(700, "drop")]
