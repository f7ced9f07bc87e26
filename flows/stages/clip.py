"""Segments to clips."""

from bisect import bisect_left, bisect_right
from itertools import groupby
from operator import methodcaller
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from datasets.attempts import keep_highest_attempt
from datasets.schemas import TABLES
from datasets.settings import recipe_of
from datasets.tables import current_recipe, read_ok, read_parts, read_table
from datasets.wide import widen
from extract.clips import cut_clips
from flows.machinery.batches import cut_batches
from flows.machinery.run import Run

Row = dict[str, Any]
_VIDEOS_PER_CLIP_BATCH = 2000
_SEGMENTS_AT_ONCE = 4_000_000
"""Half a GB. Every part is looked through again for so many: 8 times for a million videos."""
_as_text = methodcaller("as_py")


def make_clips(run: Run) -> None:
    """Cut segments into clips: table clips. Pure arithmetic, so it runs in this process."""
    recipe = recipe_of(run.config.clips, current_recipe(run.root, "segments"))
    segmented = widen(read_ok(run.root, "segmentations", ["video_id", "duration_ms", "num_segments"]))
    done = read_table(run.root, "clips", ["video_id"], recipe=recipe)["video_id"]
    todo = segmented.filter(pc.invert(pc.is_in(segmented["video_id"], done))).sort_by("video_id")
    batches = cut_batches(todo, _VIDEOS_PER_CLIP_BATCH)
    before = np.cumsum([0, *(pc.sum(batch["num_segments"]).as_py() or 0 for batch in batches)])
    for _, numbers in groupby(range(len(batches)), lambda number: before[number] // _SEGMENTS_AT_ONCE):
        run.begin()
        group = [batches[number] for number in numbers]
        segments = _read_segments(run.root, group[0]["video_id"][0].as_py(), group[-1]["video_id"][-1].as_py())
        for batch in group:
            rows = _cut_batch(run, batch, segments)
            run.write("clips", rows, recipe, input_keys=batch["video_id"].to_pylist())
    run.record("clips", recipe)


def _read_segments(root: str, first: str, last: str) -> pa.Table:
    """Of the videos whose ids are from `first` to `last`, in order, so that each batch finds its own at once."""
    spec, fs = TABLES["segments"], fsspec.core.url_to_fs(root)[0]
    is_between = (pads.field("video_id") >= first) & (pads.field("video_id") <= last)

    def read_between(paths: list[str]) -> pa.Table:
        parts = pads.dataset(paths, spec.schema, format="parquet", filesystem=fs)
        return parts.to_table([*spec.key, "end_ms", "label", "attempt"], filter=is_between)

    found = read_parts(root, "segments", current_recipe(root, "segments"), read_between)
    found = widen(keep_highest_attempt(spec, found))
    return found.sort_by([("video_id", "ascending"), ("start_ms", "ascending")])


def _cut_batch(run: Run, batch: pa.Table, segments: pa.Table) -> list[Row]:
    video_ids = batch["video_id"].to_pylist()
    start = bisect_left(segments["video_id"], video_ids[0], key=_as_text)
    stop = bisect_right(segments["video_id"], video_ids[-1], key=_as_text)
    labelled: dict[str, list[tuple[str, int, int]]] = {video_id: [] for video_id in video_ids}
    for segment in segments.slice(start, stop - start).to_pylist():
        if segment["video_id"] in labelled:
            labelled[segment["video_id"]].append((segment["label"], segment["start_ms"], segment["end_ms"]))
    durations = zip(video_ids, batch["duration_ms"].to_pylist(), strict=True)
    return [row for v, ms in durations for row in cut_clips(v, labelled[v], run.config.clips, ms)]
