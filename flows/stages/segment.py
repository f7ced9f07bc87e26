"""Downloaded videos to labelled segments of their sound."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa
from prefect import task

from datasets.settings import recipe_of
from datasets.tables import current_recipe
from extract.speech.segmentation import SegmentedVideo, Video, segment_videos, speech_weights_sha256
from features.encoders.engines import num_cores
from flows.machinery.batches import TASK_OPTIONS, attempt_of, cut_batches, left_to_do, run_batches, settle_row
from flows.machinery.run import Run, media_table
from flows.machinery.runners import stages_on_ray

Row = dict[str, Any]
_FILES_PER_GPU_BATCH = 16


def find_speech(run: Run) -> None:
    """Label the audio of every downloaded video: tables segmentations and segments."""
    settings = run.config.speech
    recipe = recipe_of(settings, speech_weights_sha256(settings), current_recipe(run.root, "media"))
    todo = left_to_do(media_table(run), run, "segmentations", recipe)
    num_workers = 1 if stages_on_ray(run.config) else run.config.run.num_workers
    batches = cut_batches(todo, run.config.run.videos_per_batch, num_workers)
    run_batches(segment_batch, batches, run, recipe, description="segment videos")
    run.record("segments", recipe)
    run.record("segmentations", recipe)


@task(name="segment", **TASK_OPTIONS)
def segment_batch(batch: pa.Table, run: Run, recipe: str) -> None:
    """Segment a batch of videos; segments are written before the segmentations that say they are complete."""
    columns = (batch[name].to_pylist() for name in ("video_id", "media_path", "audio_track"))
    videos: list[Video] = list(zip(*columns, strict=True))
    # A GPU takes the patches of several files at once; cores take a file each.
    num_files = 1 if run.config.speech.device == "cpu" else _FILES_PER_GPU_BATCH
    units = [videos[start : start + num_files] for start in range(0, len(videos), num_files)]
    if num_files > 1:
        num_threads = 2  # one unit is decoded while the GPU has the other
    elif stages_on_ray(run.config):
        num_threads = run.config.run.segment_cpus
    else:  # this batch's share of the cores
        num_threads = max(1, num_cores() // run.config.run.num_workers)
    with ThreadPoolExecutor(num_threads) as threads:
        found = [video for unit in threads.map(partial(_segment_unit, run), units) for video in unit]
    segmentations, segments = [row for row, _ in found], [segment for _, rows in found for segment in rows]
    run.write("segments", segments, recipe, attempt_of(batch), batch["video_id"].to_pylist())
    run.write("segmentations", segmentations, recipe, attempt_of(batch))


def _segment_unit(run: Run, videos: list[Video]) -> list[SegmentedVideo]:
    """Rows of some videos, segmented together; when that fails, each on its own, so that one cannot spoil the rest."""

    def settle_apart(outcome: Row) -> list[SegmentedVideo]:
        if len(videos) == 1:
            return [({"video_id": videos[0][0], **outcome}, [])]
        return [found for video in videos for found in _segment_unit(run, [video])]

    return settle_row(partial(segment_videos, videos, run.config.speech), settle_apart, run.config.run)
