from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets.outcomes import CLIP_REASONS
from extract.clips import ClipSettings, cut_clips

PAPER = ClipSettings()
BRIDGED = ClipSettings(bridge_gap_ms=700)


def outcomes(segments, settings=PAPER, duration_ms=None):
    return [
        (row["start_ms"], row["end_ms"], row["reason"])
        for row in cut_clips("video", segments, settings, duration_ms=duration_ms)
    ]


@pytest.mark.parametrize(
    ("length_ms", "reason"),
    [(5000, None), (4999, "clip_too_short"), (50000, None), (50001, "clip_too_long")],
)
def test_both_bounds_are_inclusive(length_ms, reason):
    assert outcomes([("speech", 1000, 1000 + length_ms)]) == [(1000, 1000 + length_ms, reason)]


def test_a_whole_video_is_one_clip_from_end_to_end():
    segments = [("speech", 1000, 4000), ("music", 4000, 90_000), ("speech", 100_000, 103_000)]
    whole = ClipSettings(whole_videos=True, max_ms=200_000)
    (row,) = cut_clips("video", segments, whole, duration_ms=120_000)
    assert (row["start_ms"], row["end_ms"], row["speech_ms"], row["status"]) == (0, 120_000, 6000, "ok")
    assert outcomes(segments, ClipSettings(whole_videos=True), 120_000) == [(0, 120_000, "clip_too_long")]
    assert outcomes(segments[1:2], whole, 120_000) == [(0, 120_000, "no_speech")]


def test_gap_of_exactly_the_bridge_is_bridged():
    segments = [("speech", 0, 4000), ("no_energy", 4000, 4700), ("speech", 4700, 9000)]
    assert outcomes(segments, BRIDGED) == [(0, 9000, None)]


def test_gap_one_ms_longer_is_not_bridged():
    segments = [("speech", 0, 5000), ("no_energy", 5000, 5701), ("speech", 5701, 11000)]
    assert outcomes(segments, BRIDGED) == [(0, 5000, None), (5701, 11000, None)]


def test_pauses_are_not_bridged_by_default():
    segments = [("speech", 0, 4000), ("no_energy", 4000, 4020), ("speech", 4020, 9000)]
    assert [reason for *_, reason in outcomes(segments)] == ["clip_too_short", "clip_too_short"]


@pytest.mark.parametrize("label", ["music", "noise"])
def test_other_sounds_are_never_bridged(label):
    segments = [("speech", 0, 5000), (label, 5000, 5020), ("speech", 5020, 11000)]
    assert outcomes(segments, BRIDGED) == [(0, 5000, None), (5020, 11000, None)]


def test_a_pause_with_music_in_it_is_not_bridged():
    segments = [("speech", 0, 5000), ("no_energy", 5000, 5600), ("music", 5200, 5300), ("speech", 5600, 11000)]
    assert len(outcomes(segments, BRIDGED)) == 2


def test_an_unlabelled_gap_is_not_bridged():
    assert len(outcomes([("speech", 0, 5000), ("speech", 5500, 11000)], BRIDGED)) == 2


def test_clip_ending_at_the_videos_end_is_kept():
    assert outcomes([("speech", 5000, 10000)], duration_ms=10000) == [(5000, 10000, None)]


def test_nothing_reaches_beyond_the_videos_end():
    assert outcomes([("speech", 5000, 10020)], duration_ms=10000) == [(5000, 10000, None)]


def test_overlapping_speech_counts_once():
    rows = cut_clips("video", [("speech", 0, 6000), ("speech", 4000, 9000)], PAPER)
    assert [(row["start_ms"], row["end_ms"], row["speech_ms"]) for row in rows] == [(0, 9000, 9000)]


def test_bridged_pauses_do_not_count_as_speech():
    segments = [("speech", 0, 4000), ("no_energy", 4000, 4700), ("speech", 4700, 9000)]
    assert cut_clips("video", segments, BRIDGED)[0]["speech_ms"] == 8300


def test_a_video_without_speech_leaves_one_row():
    rows = cut_clips("video", [("music", 0, 8000)], PAPER, duration_ms=8010)
    assert rows == [
        {
            "clip_id": "video_000000000_000008010",
            "video_id": "video",
            "start_ms": 0,
            "end_ms": 8010,
            "speech_ms": 0,
            "status": "dropped",
            "reason": "no_speech",
            "detail": "",
        }
    ]


def test_a_video_without_segments_leaves_one_row():
    assert outcomes([], duration_ms=10) == [(0, 10, "no_speech")]


def test_rows_of_the_segments_table_serve_as_segments():
    assert outcomes([{"label": "speech", "start_ms": 0, "end_ms": 5000, "status": "ok"}]) == [(0, 5000, None)]


def test_too_long_speech_is_cut_at_its_longest_pause():
    settings = ClipSettings(bridge_gap_ms=700, too_long="cut")
    segments = [
        ("speech", 0, 20000),
        ("no_energy", 20000, 20400),
        ("speech", 20400, 40000),
        ("no_energy", 40000, 40600),
        ("speech", 40600, 60000),
    ]
    assert outcomes(segments, settings) == [(0, 40000, None), (40600, 60000, None)]


def test_equal_pauses_are_cut_nearest_the_middle():
    settings = ClipSettings(bridge_gap_ms=700, too_long="cut")
    segments = [("speech", 0, 10000), ("no_energy", 10000, 10500), ("speech", 10500, 30000)]
    segments += [("no_energy", 30000, 30500), ("speech", 30500, 60000)]
    assert outcomes(segments, settings) == [(0, 30000, None), (30500, 60000, None)]


def test_too_long_speech_without_a_pause_is_dropped_when_cutting():
    settings = ClipSettings(too_long="cut")
    assert outcomes([("speech", 0, 50001)], settings) == [(0, 50001, "clip_too_long")]


def test_bounds_in_the_wrong_order_name_the_field():
    with pytest.raises(ValidationError, match=r"clips\.max_ms must be at least clips\.min_ms \(5000\), got 4000"):
        ClipSettings(max_ms=4000)


LABELS = st.sampled_from(["speech", "no_energy", "music", "noise"])
TIMELINES = st.lists(st.tuples(LABELS, st.integers(1, 3000).map(lambda steps: 20 * steps)), max_size=40)
SETTINGS = st.builds(
    ClipSettings,
    min_ms=st.integers(1, 5000),
    max_ms=st.integers(5000, 50000),
    bridge_gap_ms=st.integers(0, 1500),
    too_long=st.sampled_from(["drop", "cut"]),
)


def lay_out(timeline):
    """Labels and lengths to adjacent segments."""
    segments, start_ms = [], 0
    for label, length_ms in timeline:
        segments.append((label, start_ms, start_ms + length_ms))
        start_ms += length_ms
    return segments


@given(TIMELINES, SETTINGS)
def test_kept_clips_are_within_bounds_disjoint_and_hold_no_other_sound(timeline, settings):
    segments = lay_out(timeline)
    kept = [row for row in cut_clips("video", segments, settings) if row["status"] == "ok"]
    sounds = [(start, end) for label, start, end in segments if label in ("music", "noise")]
    for row in kept:
        assert settings.min_ms <= row["end_ms"] - row["start_ms"] <= settings.max_ms
        assert not any(start < row["end_ms"] and row["start_ms"] < end for start, end in sounds)
    assert all(before["end_ms"] <= after["start_ms"] for before, after in pairwise(kept))


@given(TIMELINES, SETTINGS)
def test_no_speech_is_lost_and_every_dropped_row_has_a_reason(timeline, settings):
    segments = lay_out(timeline)
    rows = cut_clips("video", segments, settings)
    assert sum(row["speech_ms"] for row in rows) == sum(
        end - start for label, start, end in segments if label == "speech"
    )
    assert all((row["reason"] is None) == (row["status"] == "ok") for row in rows)
    assert {row["reason"] for row in rows} <= {None, *CLIP_REASONS}
    assert len({row["clip_id"] for row in rows}) == len(rows) > 0


@given(TIMELINES, SETTINGS, st.randoms())
def test_the_order_of_segments_does_not_matter(timeline, settings, random):
    segments = lay_out(timeline)
    shuffled = random.sample(segments, len(segments))
    assert cut_clips("video", shuffled, settings) == cut_clips("video", segments, settings)
