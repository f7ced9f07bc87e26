"""Clips to numbers: tables features_2d, features_3d, log_mel and pooled."""

from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.settings import recipe_of
from datasets.tables import add_common_columns, current_recipe, read_table, write_part
from features.clip_features import Encoders, fail_clips, feature_recipes, featurize_clips, load_encoders
from features.encoders import Encoder
from features.feature_tables import Problem
from features.settings import FeatureSettings
from flows.acquire import media_table
from flows.batches import TASK_OPTIONS, Run, cut_batches, hold_root, left_to_do, run_batches, settle_row, start_run
from flows.config import Config

Row = dict[str, Any]


# One batch at a time: the encoders use every core, or the GPU, within a batch.
@flow(name="featurize", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]  # invariant upstream
def featurize(config: Config, retry: tuple[str, ...] = ()) -> None:
    """Features of every clip in the splits; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.
    """
    run = start_run(config, retry)
    with hold_root(config.root):
        compute_features(run)


def compute_features(run: Run) -> None:
    """Featurize the clips that any of the feature tables lacks."""
    encoders = load_encoders(run.config.features)
    media_recipe = current_recipe(run.root, "media")
    recipes = {
        table: recipe_of(recipe, media_recipe)
        for table, recipe in feature_recipes(run.config.features, encoders).items()
    }
    clips = _clips_in_splits(run)
    missing = pa.concat_tables([left_to_do(clips, run, table, recipe) for table, recipe in recipes.items()])
    attempts = missing.group_by("clip_id").aggregate([("attempt", "max")]).rename_columns(["clip_id", "attempt"])
    todo = clips.join(attempts, keys="clip_id", join_type="inner").sort_by("clip_id")
    batches = cut_batches(todo, run.config.run.clips_per_batch)
    run_batches(featurize_batch, batches, run, recipes, encoders, description="featurize clips")
    used = {"features_2d": encoders.encoder_2d, "features_3d": encoders.encoder_3d}
    for table, recipe in recipes.items():
        run.record(table, recipe, **({"encoder": _describe(used[table])} if table in used else {}))


def _describe(encoder: Encoder) -> dict[str, Any]:
    names = ("name", "weights_sha256", "trained", "engine", "precision")
    words = (
        "trained" if encoder.trained else "deterministic untrained weights: these features carry no learned knowledge"
    )
    return {**{name: getattr(encoder, name) for name in names}, "weights": words}


def _clips_in_splits(run: Run) -> pa.Table:
    """Clips that the splits use, with the file each is cut from; sorted, so that clips of a video are neighbours."""
    drawn = read_table(run.root, "splits", ["clip_id"])["clip_id"].combine_chunks()
    clips = read_table(run.root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"])
    clips = clips.filter(pc.is_in(clips["clip_id"], drawn))
    return clips.join(media_table(run), keys="video_id", join_type="left outer").sort_by("clip_id")


@task(name="featurize", **TASK_OPTIONS)
def featurize_batch(batch: pa.Table, run: Run, recipes: dict[str, str], encoders: Encoders) -> None:
    """Featurize a batch of clips into one part of each feature table."""
    features = settle_row(partial(featurize_clips, batch, encoders, run.config.features), _no_features, run.config.run)
    if features is None:
        features = _featurize_one_by_one(batch, run, encoders)
    made = {"run_id": run.run_id, "attempt": batch["attempt"][0].as_py()}
    for table, columns in features.items():
        write_part(run.root, table, add_common_columns(columns, recipe=recipes[table], **made))


def _no_features(outcome: Row) -> None:
    """A surprise in a batch: the clips are then done one by one, so that only the clip at fault loses its row."""


def _featurize_one_by_one(batch: pa.Table, run: Run, encoders: Encoders) -> dict[str, pa.Table]:
    settings = run.config.features
    single = []
    for index in range(batch.num_rows):
        clip = batch.slice(index, 1)
        work = partial(featurize_clips, clip, encoders, settings)
        single.append(settle_row(work, partial(_failed_features, clip, encoders, settings), run.config.run))
    return {table: pa.concat_tables([features[table] for features in single]) for table in single[0]}


def _failed_features(
    clip: pa.Table, encoders: Encoders, settings: FeatureSettings, outcome: Row
) -> dict[str, pa.Table]:
    return fail_clips(clip, encoders, settings, Problem(outcome["reason"], outcome["detail"]))
