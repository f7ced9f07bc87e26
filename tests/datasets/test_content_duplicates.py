"""Copies are found by what is seen, whatever was done to them; other videos are left alone."""

import numpy as np
import pyarrow as pa
import pytest

from datasets.splits.content import ContentSettings, compare_over_time, find_content_copies

pytest.importorskip("faiss", reason="needs `make setup-duplicates`")
DIM, SECONDS = 64, 12


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_video(seed):
    """Features that drift from second to second, and share with all others what every picture has."""
    rng = np.random.default_rng(seed)
    return unit(3 + np.cumsum(rng.normal(0, 1, (SECONDS, DIM)), axis=0))


def make_features(videos):
    vectors = pa.list_(pa.list_(pa.float16(), DIM))
    values = [None if rows is None else rows.astype(np.float16).tolist() for rows in videos.values()]
    clips = [f"{name}_000000000_000012000" for name in videos]
    return pa.table({"clip_id": clips, "video_id": list(videos), "values": pa.array(values, vectors)})


def find(videos, **settings):
    return find_content_copies(make_features(videos), ContentSettings(**settings))


ORIGINALS = {f"v{seed:02d}": make_video(seed) for seed in range(20)}
NOISE = np.random.default_rng(1).normal(0, 0.03, (SECONDS, DIM))
FAST = np.round(np.arange(0, SECONDS, 1.25)).astype(int).clip(0, SECONDS - 1)


@pytest.mark.parametrize("change", [lambda v: v + NOISE, lambda v: v[4:], lambda v: v[FAST], lambda v: v[2:8]])
def test_a_copy_is_found_though_it_is_noisy_cut_or_faster(change):
    found = find({**ORIGINALS, "copy": unit(change(ORIGINALS["v07"]))}).to_pylist()
    assert [(row["video_id"], row["copy_id"]) for row in found] == [("copy", "v07")]
    assert found[0]["clip_id"].startswith("copy_") and found[0]["copy_clip_id"].startswith("v07_")
    assert found[0]["similarity"] > 0.8


def film(*scenes, gap_s=3):
    """{clip_id suffix: rows} of scenes one after the other, as `make_clips` takes them."""
    starts = np.cumsum([0, *(len(scene) + gap_s for scene in scenes[:-1])]) * 1000
    return {f"_{start:09d}_{start + 1000 * len(scene):09d}": scene for start, scene in zip(starts, scenes, strict=True)}


def find_in_films(films):
    clips = [(name, name + end, rows) for name, scenes in films.items() for end, rows in scenes.items()]
    table = make_features({clip: rows for _, clip, rows in clips})
    named = pa.table(
        {"clip_id": [c for _, c, _ in clips], "video_id": [name for name, _, _ in clips], "values": table["values"]}
    )
    found = find_content_copies(named, ContentSettings()).to_pylist()
    return [(row["video_id"], row["copy_id"]) for row in found]


SCENES = [make_video(100 + seed) for seed in range(16)]


def test_one_scene_that_looks_alike_makes_no_copy_of_a_video_that_shows_others_around_it():
    films = {"a": film(*SCENES[:4]), "b": film(*SCENES[4:6], SCENES[1], *SCENES[6:8]), "c": film(*SCENES[8:12])}
    assert find_in_films(films) == []


def test_a_whole_copy_is_found_though_it_is_noisier_cut_elsewhere_and_faster():
    clean = np.concatenate(SCENES[:4])
    recut = [
        unit(part + np.random.default_rng(2).normal(0, 0.03, part.shape))
        for part in (clean[2:13], clean[13:22], clean[22:34], clean[34:])
    ]
    films = {"a": film(*SCENES[:4], gap_s=0), "b": film(*SCENES[4:8]), "copy": film(*recut, gap_s=0)}
    assert find_in_films(films) == [("a", "copy")]
    fast = clean[np.round(np.arange(0, len(clean) - 1, 1.15)).astype(int)]
    films["copy"] = film(*np.array_split(unit(fast), 4), gap_s=0)
    assert find_in_films(films) == [("a", "copy")]


def test_an_excerpt_of_one_scene_is_a_copy():
    assert find_in_films({"a": film(*SCENES[:4]), "b": film(*SCENES[4:8]), "cut": film(SCENES[2])}) == [("a", "cut")]


def test_the_order_of_rows_changes_nothing():
    videos = {**ORIGINALS, "copy": unit(ORIGINALS["v03"] + NOISE)}
    assert find(videos) == find(dict(reversed(videos.items())))


def test_videos_that_are_no_copies_are_left_alone_and_so_are_clips_without_features():
    assert find(ORIGINALS).num_rows == 0
    assert find({**ORIGINALS, "lost": None}).num_rows == 0
    assert find({}).num_rows == 0


def test_two_clips_of_one_video_are_no_copies():
    features = make_features({**ORIGINALS, "copy": ORIGINALS["v03"]})
    one_video = features.set_column(1, "video_id", pa.array(["same"] * features.num_rows))
    assert find_content_copies(one_video, ContentSettings()).num_rows == 0


def test_too_short_an_overlap_says_nothing():
    video = make_video(1)
    assert compare_over_time(video, video, 5) == pytest.approx(1)
    assert compare_over_time(video[:4], video, 5) == -1


def test_many_windows_are_searched_approximately_with_the_same_result(monkeypatch):
    videos = {**ORIGINALS, "copy": unit(ORIGINALS["v11"] + NOISE)}
    exact = find(videos)
    monkeypatch.setattr("datasets.splits.content._MOST_EXACT", 10)
    assert find(videos) == exact
