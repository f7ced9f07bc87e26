"""Segments to clips."""

from bisect import bisect_left, bisect_right
from operator import methodcaller
from typing import Any

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
        run.begin()
        video_ids = batch["video_id"].to_pylist()
        start = bisect_left(segments["video_id"], video_ids[0], key=_as_text)
        stop = bisect_right(segments["video_id"], video_ids[-1], key=_as_text)
        labelled: dict[str, list[tuple[str, int, int]]] = {video_id: [] for video_id in video_ids}
        for segment in segments.slice(start, stop - start).to_pylist():
            if segment["video_id"] in labelled:
                labelled[segment["video_id"]].append((segment["label"], segment["start_ms"], segment["end_ms"]))
        durations = zip(video_ids, batch["duration_ms"].to_pylist(), strict=True)
        rows = [row for v, ms in durations for row in cut_clips(v, labelled[v], run.config.clips, ms)]
        write_part(run.root, "clips", make_table("clips", rows, recipe=recipe, run_id=run.run_id), video_ids)
    run.record("clips", recipe)
