"""Copies of videos by what is seen: re-dubbed, mirrored, cropped, sped up or encoded again; from stored 2D features.

Every clip gives the mean of each four seconds of its rows; a library for nearest neighbours (faiss) finds those of
other videos that look alike, exactly among few and approximately among many. Each two clips that hold such windows are
then laid over one another along straight lines of time, at several speeds, and the features along the best line are
compared second by second. All features are taken relative to their mean over the root, so that what every
picture has in common counts for nothing. What the two videos show before and after must then agree, too: the same
dish in other hands looks like a copy for one clip, and not for a minute.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from datasets.settings import Settings
from datasets.wide import narrow, widen

Float32 = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

CODE_VERSION = 2
"""Part of the recipe: raise it when the code changes what comes out."""
_WINDOW, _STEP = 4, 2
"""Rows of a window, and from one to the next."""
_NEIGHBOURS = 32
"""Of each window, its own video's among them."""
_MOST_EXACT = 20_000
"""Windows: of more, neighbours are found approximately."""
_SPEEDS = (1.0, 0.8, 0.9, 1.1, 1.25)
_CANDIDATE_SHARE = 0.85
"""Of `min_similarity`: windows that are less alike are no reason to look closer."""
_AROUND_S = 60
"""Before and after the middle of two clips that are alike, where their videos are laid over one another."""
_COVERED = 0.5
"""Of what the one shows there that shows less: so much must lie on one straight line of time."""
_LONG_S, _LONG_SHARE = 20, 0.8
"""A line of so many seconds need only be so much of `min_similarity` alike: chance makes short ones."""
Shown = tuple[npt.NDArray[np.float64], Float32]
"""Seconds in a video [T] and rows of unit length [T, D]."""


class ContentSettings(Settings):
    """When two videos look like copies."""

    min_similarity: float = Field(default=0.75, gt=0, le=1)
    """Mean cosine of the features, second by second (benchmarks/bench_duplicates.py); for features of an encoder
    other than efficientnet_lite0 measure it anew."""

    min_overlap_s: int = Field(default=5, ge=3)
    """Seconds that both must show; our choice, the shortest clip."""


def find_content_copies(features: pa.Table, settings: ContentSettings) -> pa.Table:
    """Pairs of videos of which a clip looks like a copy of the other's.

    Args:
        features: clip_id, video_id and values (lists of vectors, one a second); null values count as none.
        settings: when two clips look alike.

    Returns:
        video_id and copy_id, the smaller id first; clip_id and copy_clip_id, the two that are most alike; similarity;
        sorted. The same in any order of rows.

    Raises:
        ValueError: the library for neighbours is not here.
    """
    features = widen(features.filter(pc.is_valid(features["values"]))).sort_by("clip_id")
    clips, videos = features["clip_id"].to_pylist(), features["video_id"].to_pylist()
    rows = list(_relative(features["values"]))
    number = {video: place for place, video in enumerate(dict.fromkeys(videos))}
    shown = _place_in_time(clips, videos, rows)
    found: dict[tuple[str, str], tuple[float, str, str]] = {}
    for one, other in _find_alike(rows, np.array([number[video] for video in videos]), settings):
        similarity = compare_over_time(rows[one], rows[other], settings.min_overlap_s)
        if similarity >= settings.min_similarity:
            (video, clip), (copy, copy_clip) = sorted([(videos[one], clips[one]), (videos[other], clips[other])])
            found[video, copy] = max(found.get((video, copy), (0.0, "", "")), (similarity, clip, copy_clip))
    found = {pair: best for pair, best in found.items() if _is_confirmed(pair, best[1:], shown, settings)}
    columns: dict[str, list[Any]] = {
        "video_id": [pair[0] for pair in sorted(found)],
        "copy_id": [pair[1] for pair in sorted(found)],
        "clip_id": [found[pair][1] for pair in sorted(found)],
        "copy_clip_id": [found[pair][2] for pair in sorted(found)],
        "similarity": [found[pair][0] for pair in sorted(found)],
    }
    types = [pa.string()] * 4 + [pa.float64()]
    return narrow(pa.table(list(map(pa.array, columns.values(), types)), names=list(columns)))


def compare_over_time(one: Float32, other: Float32, min_rows: int) -> float:
    """Mean cosine of rows [T, D] and [U, D] of unit length along the best straight line of time; -1 without overlap."""
    alike = one @ other.T
    best = -1.0
    for speed in _SPEEDS:
        places = np.round(np.arange(len(one)) * speed).astype(np.int64)
        for offset in range(min_rows - 1 - int(places[-1]), len(other) - min_rows + 1):
            there = places + offset
            inside = np.flatnonzero((there >= 0) & (there < len(other)))
            if len(inside) >= min_rows:
                best = max(best, float(alike[inside, there[inside]].mean()))
    return best


def _place_in_time(clips: list[str], videos: list[str], rows: list[Float32]) -> dict[str, dict[str, Shown]]:
    """{video: {clip: what it shows, when}}; ids that name no start are of images or others that are alone."""
    shown: dict[str, dict[str, Shown]] = {}
    for clip, video, of_clip in zip(clips, videos, rows, strict=True):
        times = re.search(r"_(\d{9,})_\d{9,}$", clip)
        start_s = int(times[1]) / 1000 if times else 0.0
        shown.setdefault(video, {})[clip] = start_s + np.arange(len(of_clip), dtype=np.float64), of_clip
    return shown


def _is_confirmed(
    pair: tuple[str, str], best: tuple[str, str], shown: dict[str, dict[str, Shown]], settings: ContentSettings
) -> bool:
    """Do two videos agree around the clips that are most alike? Yes where each has that one clip only."""
    if all(len(shown[video]) == 1 for video in pair):
        return True
    around = []
    for video, clip in zip(pair, best, strict=True):
        middle = shown[video][clip][0].mean()
        times, rows = (np.concatenate(parts) for parts in zip(*shown[video].values(), strict=True))
        is_near = np.abs(times - middle) <= _AROUND_S
        around.append((times[is_near], rows[is_near]))
    return share_a_line(around[0], around[1], settings)


def share_a_line(one: Shown, other: Shown, settings: ContentSettings) -> bool:
    """Is there a straight line of time along which enough of what both show is alike, on the average?"""
    least = max(settings.min_overlap_s, _COVERED * min(len(one[1]), len(other[1])))
    alike = (one[1] @ other[1].T).ravel()
    for speed in _SPEEDS:
        offsets = np.round(other[0][None, :] - speed * one[0][:, None]).astype(np.int64).ravel()
        offsets -= offsets.min()
        seconds, total = np.bincount(offsets), np.bincount(offsets, weights=alike)
        limit = settings.min_similarity * np.where(seconds >= _LONG_S, _LONG_SHARE, 1)
        if np.any((seconds >= least) & (total >= limit * seconds)):
            return True
    return False


def _relative(values: pa.ChunkedArray) -> Iterator[Float32]:
    """Rows of each clip relative to the mean of all, of unit length [T, D]."""
    clips = [np.asarray(clip.values.flatten(), np.float32).reshape(len(clip.values), -1) for clip in values]
    if not clips:
        return
    mean = sum(clip.sum(axis=0, dtype=np.float64) for clip in clips) / sum(map(len, clips))
    for clip in clips:
        rows = clip - mean.astype(np.float32)
        yield rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _find_alike(rows: list[Float32], video: Integers, settings: ContentSettings) -> list[tuple[int, int]]:
    """Places of two clips of different videos that hold windows alike, each pair once, sorted."""
    try:
        import faiss
    except ModuleNotFoundError:
        raise ValueError("splits.group_by_content needs faiss: make setup-duplicates") from None
    starts = [range(0, max(1, len(clip) - _WINDOW + 1), _STEP) for clip in rows]
    pooled = [clip[s : s + _WINDOW].mean(axis=0) for clip, own in zip(rows, starts, strict=True) for s in own]
    if not pooled:
        return []
    owner = np.repeat(np.arange(len(rows)), list(map(len, starts)))
    windows = np.stack(pooled)
    windows /= np.maximum(np.linalg.norm(windows, axis=1, keepdims=True), 1e-6)
    faiss.omp_set_num_threads(1)  # threads would build another graph every time
    dim, inner_product = windows.shape[1], faiss.METRIC_INNER_PRODUCT
    is_few = len(windows) <= _MOST_EXACT
    index = faiss.IndexFlatIP(dim) if is_few else faiss.IndexHNSWFlat(dim, 16, inner_product)
    index.add(windows)
    similarity, places = index.search(windows, min(_NEIGHBOURS, len(windows)))
    one, other = np.repeat(owner, places.shape[1]), owner[places.ravel()]
    is_alike = (similarity.ravel() >= _CANDIDATE_SHARE * settings.min_similarity) & (places.ravel() >= 0)
    is_alike &= video[one] != video[other]
    pairs = np.sort(np.stack([one, other], axis=1)[is_alike], axis=1)
    return [(int(a), int(b)) for a, b in np.unique(pairs, axis=0)]
