"""Clips to qualities: what each looks and sounds like, in figures that rules may use. Off unless it is asked for."""

import time
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.outcomes import OK, RowError, failed
from datasets.settings import recipe_of
from datasets.tables import current_recipe, read_ok
from features.encoders.engines import num_cores
from features.frames.decoding import decode_pieces
from features.quality.figures import CODE_VERSION, measure_clip, share_labels
from features.quality.packaged import MODELS, find_models
from features.quality.watching import CODE_VERSION as WATCHING_VERSION
from features.quality.watching import Network, Watched, load_networks
from flows.config import Config
from flows.machinery.batches import TASK_OPTIONS, attempt_of, cut_batches, left_to_do, run_batches, settle_row
from flows.machinery.labels import Labels
from flows.machinery.prepare import prepared
from flows.machinery.progress import logger
from flows.machinery.run import Run, open_run, with_media

Row = dict[str, Any]
_READS = ("clips", "segments", "media")
_FRAMES_PER_PIECE = 256


@flow(name="describe", task_runner=ThreadPoolTaskRunner(max_workers=num_cores()))  # type: ignore[arg-type]  # upstream
@prepared("describe")
def describe(config: Config, retry: tuple[str, ...] = ()) -> None:
    """Measure every clip, drawn or not: table qualities; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.
    """
    with open_run(config, retry) as run:
        describe_clips(run)


def describe_clips(run: Run) -> None:
    """Measure the clips that the table qualities lacks."""
    models = {name: MODELS[name].sha256 for name in find_models()}
    if missing := [name for name in MODELS if name not in models]:
        logger.info("described without the models %s; make weights-describe fetches them", ", ".join(missing))
    by_models = [models, WATCHING_VERSION] if models else []  # tables without models have no such part
    recipe = recipe_of("qualities", CODE_VERSION, [current_recipe(run.root, table) for table in _READS], *by_models)
    clips = with_media(read_ok(run.root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"]), run)
    todo = left_to_do(clips, run, "qualities", recipe)
    cost = {}
    if todo.num_rows:
        run.begin()
        load_models()  # before the threads ask for it
        began = time.process_time()
        labels, batches = Labels(run.root), cut_batches(todo, run.config.run.clips_per_batch, num_cores())
        run_batches(describe_batch, batches, run, recipe, labels, description="describe clips")
        # What `ablate` tells as the price of rules over these figures; a run that found nothing to do records nothing.
        cost = {"cpu_s_a_clip": (time.process_time() - began) / todo.num_rows}
    run.record("qualities", recipe, models={name: [MODELS[name].wheel, models[name]] for name in models}, **cost)
    load_models.cache_clear()


@task(name="describe", **TASK_OPTIONS)
def describe_batch(batch: pa.Table, run: Run, recipe: str, labels: Labels) -> None:
    """Measure a batch of clips into one part."""
    labelled, networks, rows = labels.of(batch["video_id"]), load_models(), []
    for clip in batch.to_pylist():
        shares = share_labels(labelled[clip["video_id"]], clip["start_ms"], clip["end_ms"], ("speech", "music"))
        keys = {"clip_id": clip["clip_id"], "video_id": clip["video_id"]}
        keys |= {f"{label}_share": share for label, share in shares.items()}
        rows.append({**keys, **settle_row(partial(_measure, clip, networks), lambda outcome: outcome, run.config.run)})
    run.write("qualities", rows, recipe, attempt_of(batch))


@lru_cache(maxsize=1)  # a process loads its models once
def load_models() -> dict[str, Network]:
    """The models that are here, by name."""
    return load_networks(find_models())


def _measure(clip: Row, networks: dict[str, Network]) -> Row:
    """Figures and outcome of a clip; why not, where its media cannot be decoded."""
    if clip["media_path"] is None:
        return failed("media_missing", "no media row")
    times = clip["start_ms"], clip["end_ms"], _FRAMES_PER_PIECE
    try:
        pieces = Watched(decode_pieces(clip["media_path"], *times, audio_track=clip["audio_track"]), networks)
        return {**vars(measure_clip(pieces)), **OK, **pieces.columns()}
    except RowError as error:
        return failed(error.reason, error.detail)
