"""Queries to clips: search, download, segment, clip, split."""

import os
from bisect import bisect_left, bisect_right
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import methodcaller
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.settings import recipe_of
from datasets.splits.draw import SplitError
from datasets.tables import current_recipe, make_table, read_table, write_part
from extract.clips import cut_clips
from extract.speech.segmentation import SegmentedVideo, segment_videos, speech_weights_sha256
from flows.config import Config
from flows.machinery.batches import (
    TASK_OPTIONS,
    Run,
    cut_batches,
    hold_root,
    left_to_do,
    run_batches,
    settle_row,
    start_run,
)
from flows.machinery.prepare import prepared
from flows.machinery.runners import stages_on_ray
from flows.stages.download import fetch_videos, find_videos, media_table
from flows.stages.split import assign_splits

Row = dict[str, Any]
_VIDEOS_PER_CLIP_BATCH = 2000
_FILES_PER_GPU_BATCH = 16
_as_text = methodcaller("as_py")


@flow(name="curate", task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # invariant upstream
@prepared("curate")
def curate(config: Config, retry: tuple[str, ...] = ()) -> None:
    """From queries to clips in splits; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.

    Raises:
        MachineError: this machine lacks something, the speech weights say; told before the hours of download.
        SplitError: the clips cannot give the asked splits.
    """
    run = start_run(config, retry)
    with hold_root(config.root):
        find_videos(run)
        fetch_videos(run)
        find_speech(run)
        make_clips(run)
        try:
            assign_splits(run)
        except SplitError as error:
            where = f"`python -m flows status --root {config.root}` shows where videos and clips were lost"
            raise SplitError(f"{error}; {where}") from error


def find_speech(run: Run) -> None:
    """Label the audio of every downloaded video: tables segmentations and segments."""
    settings = run.config.speech
    recipe = recipe_of(settings, speech_weights_sha256(settings), current_recipe(run.root, "media"))
    todo = left_to_do(media_table(run), run, "segmentations", recipe)
    batches = cut_batches(todo, _batch_size(run, todo.num_rows))
    run_batches(segment_batch, batches, run, recipe, description="segment videos")
    run.record("segments", recipe)
    run.record("segmentations", recipe)


def _batch_size(run: Run, num_videos: int) -> int:
    """As configured; on this machine also small enough that every worker has a batch."""
    most = run.config.run.videos_per_batch
    return most if stages_on_ray(run.config) else max(1, min(most, -(-num_videos // run.config.run.num_workers)))


@task(name="segment", **TASK_OPTIONS)
def segment_batch(batch: pa.Table, run: Run, recipe: str) -> None:
    """Segment a batch of videos; segments are written before the segmentations that say they are complete."""
    videos = [(video["video_id"], video["media_path"]) for video in batch.to_pylist()]
    # A GPU takes the patches of several files at once; cores take a file each.
    units = [videos[start : start + _files_at_once(run)] for start in range(0, len(videos), _files_at_once(run))]
    with ThreadPoolExecutor(_cores_per_batch(run)) as threads:
        found = [video for unit in threads.map(partial(_segment_unit, run), units) for video in unit]
    segmentations, segments = [row for row, _ in found], [segment for _, rows in found for segment in rows]
    made = {"recipe": recipe, "run_id": run.run_id, "attempt": batch["attempt"][0].as_py()}
    write_part(run.root, "segments", make_table("segments", segments, **made), batch["video_id"].to_pylist())
    write_part(run.root, "segmentations", make_table("segmentations", segmentations, **made))


def _files_at_once(run: Run) -> int:
    return 1 if run.config.speech.device == "cpu" else _FILES_PER_GPU_BATCH


def _cores_per_batch(run: Run) -> int:
    """This batch's share of the cores; a GPU is enough for one unit of files at a time."""
    if _files_at_once(run) > 1:
        return 1
    if stages_on_ray(run.config):
        return run.config.run.segment_cpus
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // run.config.run.num_workers)


def _segment_unit(run: Run, videos: list[tuple[str, str]]) -> list[SegmentedVideo]:
    """Rows of some videos, segmented together; when that fails, each on its own, so that one cannot spoil the rest."""

    def settle_apart(outcome: Row) -> list[SegmentedVideo]:
        if len(videos) == 1:
            return [({"video_id": videos[0][0], **outcome}, [])]
        return [found for video in videos for found in _segment_unit(run, [video])]

    return settle_row(partial(segment_videos, videos, run.config.speech), settle_apart, run.config.run)


def make_clips(run: Run) -> None:
    """Cut segments into clips: table clips. Pure arithmetic, so it runs in this process."""
    recipe = recipe_of(run.config.clips, current_recipe(run.root, "segments"))
    segmented = read_table(run.root, "segmentations", ["video_id", "duration_ms", "status"])
    segmented = segmented.filter(pc.equal(segmented["status"], "ok"))
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


def _of_videos(segments: pa.Table, video_ids: pa.ChunkedArray) -> pa.Table:
    """The segments from the first of these videos to the last; both tables in the order of video_id."""
    ids, first, last = segments["video_id"], video_ids[0].as_py(), video_ids[-1].as_py()
    start, stop = bisect_left(ids, first, key=_as_text), bisect_right(ids, last, key=_as_text)
    return segments.slice(start, stop - start)


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
