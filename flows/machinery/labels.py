"""The labelled sound of a root's videos, read once and looked up by all batches of a stage."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.tables import read_table
from datasets.wide import widen

Span = tuple[str, int, int]
"""(label, start_ms, end_ms)"""


class Labels:
    """All segments of a root, in order; some 50 MB a million."""

    def __init__(self, root: str | Path) -> None:
        segments = widen(read_table(root, "segments", ["video_id", "label", "start_ms", "end_ms"]))
        self._segments = segments.sort_by([("video_id", "ascending"), ("start_ms", "ascending")])
        ids = self._segments["video_id"].combine_chunks()
        is_first = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
        firsts = np.flatnonzero(np.r_[[True] * min(1, len(ids)), is_first])
        self._videos, self._bounds = ids.take(pa.array(firsts)), np.r_[firsts, len(ids)]

    def of(self, video_ids: pa.ChunkedArray) -> dict[str, list[Span]]:
        """{video_id: its segments, in order of time}; of a video without segments nothing."""
        labels: dict[str, list[Span]] = defaultdict(list)
        wanted = video_ids.unique()
        places = pc.index_in(wanted.cast(self._videos.type), self._videos).to_pylist()
        for video_id, place in zip(wanted.to_pylist(), places, strict=True):
            if place is not None:
                start, end = (int(bound) for bound in self._bounds[place : place + 2])
                own = self._segments.slice(start, end - start).select(["label", "start_ms", "end_ms"]).to_pydict()
                labels[video_id] = list(zip(*own.values(), strict=True))
        return labels
