"""Clips, or images with spoken captions, to numbers: the feature tables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.places_audio import locate_pairs
from datasets.resuming import next_attempts
from datasets.settings import recipe_of
from datasets.tables import current_recipe, list_parts, read_table
from datasets.wide import widen
from features.captioned_images import fail_pairs, featurize_pairs, pair_recipes
from features.clip_features import (
    Encoders,
    fail_clips,
    feature_recipes,
    featurize_clips,
    load_encoder_2d,
    load_encoder_sound,
    load_encoders,
)
from features.encoders.encoder import Encoder
from features.encoders.engines import num_cores
from features.feature_tables import Problem
from features.settings import FeatureSettings
from flows.config import Config
from flows.machinery.batches import (
    TASK_OPTIONS,
    attempt_of,
    cut_batches,
    keep_part,
    may_record,
    run_batches,
    settle_row,
)
from flows.machinery.prepare import prepared
from flows.machinery.run import Run, open_run, with_media
from flows.machinery.runners import open_runner, stages_on_ray

Row = dict[str, Any]
Tables = dict[str, pa.Table]


# A batch is decoded and encoded in one thread, so as many batches at once as there are cores; a GPU is taken in turns.
@flow(name="featurize", task_runner=ThreadPoolTaskRunner(max_workers=num_cores()))  # type: ignore[arg-type]  # invariant upstream
@prepared("featurize")
def featurize(config: Config, retry: tuple[str, ...] = ()) -> None:
    """Features of every clip in the splits, or of every image with a spoken caption; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.
    """
    with open_run(config, retry) as run:
        compute_features(run)


def compute_features(run: Run) -> None:
    """Featurize the clips, or the images with spoken captions, that any of the feature tables lacks."""
    has_pairs, has_clips = (bool(list_parts(run.root, table)) for table in ("pairs", "splits"))
    if has_pairs and has_clips:
        raise ValueError(f"{run.root} has clips and pairs, whose features are not of one recipe: use a root for each")
    source, pairs = "pairs" if has_pairs else "media", locate_pairs(run.root)
    if stages_on_ray(run.config) or not list_parts(run.root, "log_mel"):
        run.begin()  # a node of the cluster says what it computes by; without any features that need not be known
    with open_runner("featurize", run.config) as submit:
        described = describe_work.fn if run.only_looks else lambda *args: submit(describe_work, *args).result()
        own, used = described(source, run.config)
        if has_pairs:
            clips = pairs.append_column("clip_id", pairs["pair_id"])  # what the feature tables call it
        else:
            drawn = read_table(run.root, "splits", ["clip_id"])["clip_id"]
            clips = widen(read_table(run.root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"]))
            clips = with_media(clips.filter(pc.is_in(clips["clip_id"], drawn)), run)
        # The recipes are the tables' own settings' and that of the table that names the files.
        recipes = {table: recipe_of(recipe, current_recipe(run.root, source)) for table, recipe in own.items()}
        whole, clips = clips, keep_part(clips, "pair_id" if has_pairs else "video_id", run.config.run.part)
        of_tables = [next_attempts(clips["clip_id"], run.root, *table, run.retry) for table in recipes.items()]
        attempts = np.max(of_tables, axis=0)
        is_left = attempts >= 0
        todo = clips.filter(pa.array(is_left)).append_column("attempt", pa.array(attempts[is_left]))
        batches = cut_batches(todo, run.config.run.clips_per_batch, 1 if stages_on_ray(run.config) else num_cores())
        run_batches(featurize_batch, batches, run, source, own, recipes, description="featurize")
        if may_record(run, whole, recipes):
            for table, recipe in recipes.items():
                encoder = {"encoder": used[table]} if table in used else {}
                run.record(table, recipe, feature_recipe=own[table], **encoder)
    load_work.cache_clear()


@dataclass(frozen=True)
class Work:
    """What is done to a batch."""

    compute: Callable[[pa.Table], Tables]
    fail: Callable[..., Tables]
    """(one row, problem=...) -> the tables of a row that could not be done."""
    recipes: dict[str, str]
    """Of each table, by its own settings alone."""
    used: dict[str, Encoder]
    """The encoder of each table that has one."""


@lru_cache(maxsize=1)  # a process loads its encoders once, be it this one or a cluster's worker
def load_work(source: str, settings: FeatureSettings) -> Work:
    """What makes features of the rows of `source`: media or pairs."""
    if source == "pairs":
        encoders = Encoders(load_encoder_2d(settings), None, load_encoder_sound(settings))
        compute, fail = partial(featurize_pairs, encoders=encoders), partial(fail_pairs, encoders=encoders)
        return Work(compute, fail, pair_recipes(encoders), encoders.of_tables)
    encoders = load_encoders(settings)
    given: dict[str, Any] = {"encoders": encoders, "settings": settings}
    recipes = feature_recipes(settings, encoders)
    return Work(partial(featurize_clips, **given), partial(fail_clips, **given), recipes, encoders.of_tables)


@task(name="load encoders", **TASK_OPTIONS)
def describe_work(source: str, config: Config) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """(own recipe of each table, description of its encoder), by the engine and precision of who computes."""
    work = load_work(source, _settings_of_worker(config))
    names = ("name", "weights_sha256", "license", "trained", "engine", "precision")
    words = {True: "trained", False: "deterministic untrained weights: these features carry no learned knowledge"}
    used = {
        table: {**{name: getattr(encoder, name) for name in names}, "weights": words[encoder.trained]}
        for table, encoder in work.used.items()
    }
    return work.recipes, used


def _settings_of_worker(config: Config) -> FeatureSettings:
    """The settings; a worker of a cluster keeps to the cores that were set aside for its batch."""
    settings = config.features
    if settings.num_threads is not None or not stages_on_ray(config):
        return settings
    return settings.model_copy(update={"num_threads": stages_on_ray(config)["featurize"]["num_cpus"]})


@task(name="featurize", **TASK_OPTIONS)
def featurize_batch(batch: pa.Table, run: Run, source: str, own: dict[str, str], recipes: dict[str, str]) -> None:
    """Featurize a batch into one part of each feature table.

    Raises:
        ValueError: this machine would compute otherwise than the one that described the work: a table never mixes.
    """
    work = load_work(source, _settings_of_worker(run.config))
    if work.recipes != own:
        found = [f"{encoder.name}: {encoder.engine}, {encoder.precision}" for encoder in work.used.values()]
        fields = "set features.engine, features.device and features.precision to what every node has"
        raise ValueError(f"a node of the cluster computes otherwise than the first ({'; '.join(found)}): {fields}")
    # After a surprise the rows are done one by one, so that only the one at fault loses its features.
    features = settle_row(partial(work.compute, batch), lambda outcome: None, run.config.run)
    if features is None:
        single = []
        for row in (batch.slice(index, 1) for index in range(batch.num_rows)):

            def fail(outcome: Row, row: pa.Table = row) -> Tables:
                return work.fail(row, problem=Problem(outcome["reason"], outcome["detail"]))

            single.append(settle_row(partial(work.compute, row), fail, run.config.run))
        features = {table: pa.concat_tables([done[table] for done in single]) for table in single[0]}
    for table, columns in features.items():
        run.write(table, columns, recipes[table], attempt_of(batch))
