"""Optional: clips to the words that are said in them, table transcripts."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.settings import recipe_of
from datasets.tables import current_recipe, read_ok
from datasets.wide import widen
from extract.language import base_language
from extract.transcripts import transcribe_clip
from extract.whisper import describe_whisper, make_transcriber
from features.encoders.engines import num_cores
from flows.config import Config, ConfigError
from flows.machinery.batches import (
    TASK_OPTIONS,
    attempt_of,
    cut_batches,
    keep_part,
    left_to_do,
    may_record,
    run_batches,
    settle_row,
)
from flows.machinery.labels import Labels
from flows.machinery.prepare import prepared
from flows.machinery.run import Run, open_run, with_media

Row = dict[str, Any]


@flow(name="transcribe", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]  # invariant upstream
@prepared("transcribe")
def transcribe(config: Config, retry: tuple[str, ...] = ()) -> None:
    """What is said in every clip of the splits; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.
    """
    with open_run(config, retry) as run:
        transcribe_root(run)


def transcribe_root(run: Run) -> None:
    """Transcribe the clips that the table transcripts lacks.

    Raises:
        ConfigError: no model is named.
    """
    settings = run.config.transcripts
    if settings.model is None:
        raise ConfigError("transcripts.model is not set: name the folder of a Whisper model for CTranslate2")
    language = settings.language or run.config.selection.language
    encoder = describe_whisper(settings.model)
    # What Whisper gives on two processors may differ in a word; on one it is the same each time.
    recipe = recipe_of(
        settings, encoder, language, *(current_recipe(run.root, table) for table in ("media", "segments"))
    )
    drawn = read_ok(run.root, "splits", ["clip_id"])["clip_id"]
    clips = widen(read_ok(run.root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"]))
    clips = with_media(clips.filter(pc.is_in(clips["clip_id"], drawn)), run)
    todo = left_to_do(keep_part(clips, "video_id", run.config.run.part), run, "transcripts", recipe)
    batches = cut_batches(todo, run.config.run.clips_per_batch)
    if batches:
        run.begin()
        given = recipe, Labels(run.root), language, encoder["engine"]
        run_batches(transcribe_batch, batches, run, *given, description="transcribe")
    if not may_record(run, clips, {"transcripts": recipe}):
        return
    # Of the settings and weights alone, as for features: a release made anew from other media has the same.
    made = {"name": "whisper", "trained": True, "weights": "trained", "precision": "int8", **encoder}
    run.record("transcripts", recipe, feature_recipe=recipe_of(settings, encoder, language), encoder=made)


@task(name="transcribe", **TASK_OPTIONS)
def transcribe_batch(batch: pa.Table, run: Run, recipe: str, labels: Labels, language: str | None, engine: str) -> None:
    """One part of the table transcripts; the clips of a batch share the cores."""
    settings, workers = run.config.transcripts, run.config.run.num_workers
    assert settings.model is not None
    model = make_transcriber(settings.model, max(1, num_cores() // workers), workers, settings.beam_size)
    labelled = labels.of(batch["video_id"])

    def settle(clip: Row) -> Row:
        speech = [(start_ms, end_ms) for label, start_ms, end_ms in labelled[clip["video_id"]] if label == "speech"]
        work = partial(transcribe_clip, clip, speech, model, base_language(language), engine)
        lost = {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "engine": engine}
        return settle_row(work, lambda outcome: {**lost, **outcome}, run.config.run)

    with ThreadPoolExecutor(workers) as threads:
        rows = list(threads.map(settle, batch.drop_columns("attempt").to_pylist()))
    run.write("transcripts", rows, recipe, attempt_of(batch), batch["clip_id"].to_pylist())
