"""Copies of videos by what is seen: re-dubbed, mirrored, cropped, sped up or encoded again; from stored 2D features.

Every clip gives the mean of each four seconds of its rows; a library for nearest neighbours (faiss) finds those of
other videos that look alike, exactly among few and approximately among many. Each two clips that hold such windows are
then laid over one another along straight lines of time, at several speeds, and the features along the best line are
compared second by second. All features are taken relative to their mean over the root, so that what every
picture has in common counts for nothing.
"""

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

_WINDOW, _STEP = 4, 2
"""Rows of a window, and from one to the next."""
_NEIGHBOURS = 32
"""Of each window, its own video's among them."""
_MOST_EXACT = 20_000
"""Windows: of more, neighbours are found approximately."""
_SPEEDS = (1.0, 0.8, 0.9, 1.1, 1.25)
_CANDIDATE_SHARE = 0.85
"""Of `min_similarity`: windows that are less alike are no reason to look closer."""


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
    found: dict[tuple[str, str], tuple[float, str, str]] = {}
    for one, other in _find_alike(rows, np.array([number[video] for video in videos]), settings):
        similarity = compare_over_time(rows[one], rows[other], settings.min_overlap_s)
        if similarity >= settings.min_similarity:
            (video, clip), (copy, copy_clip) = sorted([(videos[one], clips[one]), (videos[other], clips[other])])
            found[video, copy] = max(found.get((video, copy), (0.0, "", "")), (similarity, clip, copy_clip))
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
    pooled = [
        clip[start : start + _WINDOW].mean(axis=0)
        for clip in rows
        for start in range(0, max(1, len(clip) - _WINDOW + 1), _STEP)
    ]
    if not pooled:
        return []
    owner = np.repeat(np.arange(len(rows)), [len(range(0, max(1, len(c) - _WINDOW + 1), _STEP)) for c in rows])
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
