"""Segments to clips."""

from bisect import bisect_left, bisect_right
from operator import methodcaller
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.settings import recipe_of
from datasets.tables import current_recipe, make_table, read_ok, read_table, write_part
from extract.clips import cut_clips
from flows.machinery.batches import cut_batches
from flows.machinery.run import Run

Row = dict[str, Any]
_VIDEOS_PER_CLIP_BATCH = 2000
_as_text = methodcaller("as_py")


def make_clips(run: Run) -> None:
    """Cut segments into clips: table clips. Pure arithmetic, so it runs in this process."""
    recipe = recipe_of(run.config.clips, current_recipe(run.root, "segments"))
    segmented = read_ok(run.root, "segmentations", ["video_id", "duration_ms"])
    done = read_table(run.root, "clips", ["video_id"], recipe=recipe)["video_id"]
    todo = segmented.filter(pc.invert(pc.is_in(segmented["video_id"], done.combine_chunks()))).sort_by("video_id")
    # In order once, so that each batch finds its segments without looking through all of them.
    segments = read_table(run.root, "segments", ["video_id", "start_ms", "end_ms", "label"])
    segments = segments.sort_by([("video_id", "ascending"), ("start_ms", "ascending")])
    for batch in cut_batches(todo, _VIDEOS_PER_CLIP_BATCH):
        rows = _cut_batch(batch, _of_videos(segments, batch["video_id"]), run)
        write_part(
            run.root,
            "clips",
            make_table("clips", rows, recipe=recipe, run_id=run.run_id),
            batch["video_id"].to_pylist(),
        )
    run.record("clips", recipe)


def _cut_batch(batch: pa.Table, segments: pa.Table, run: Run) -> list[Row]:
    wanted = segments.filter(pc.is_in(segments["video_id"], batch["video_id"].combine_chunks()))
    by_video: dict[str, list[tuple[str, int, int]]] = {video_id: [] for video_id in batch["video_id"].to_pylist()}
    for segment in wanted.to_pylist():
        by_video[segment["video_id"]].append((segment["label"], segment["start_ms"], segment["end_ms"]))
    durations = dict(zip(batch["video_id"].to_pylist(), batch["duration_ms"].to_pylist(), strict=True))
    return [
        row
        for video_id, labelled in by_video.items()
        for row in cut_clips(video_id, labelled, run.config.clips, durations[video_id])
    ]


def _of_videos(segments: pa.Table, video_ids: pa.ChunkedArray) -> pa.Table:
    """The segments from the first of these videos to the last; both tables in the order of video_id."""
    ids, first, last = segments["video_id"], video_ids[0].as_py(), video_ids[-1].as_py()
    start, stop = bisect_left(ids, first, key=_as_text), bisect_right(ids, last, key=_as_text)
    return segments.slice(start, stop - start)
