"""Optional: how likely what is said in a clip belongs to what is seen in it, table agreements."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow

from datasets.outcomes import OK, failed
from datasets.settings import recipe_of
from datasets.splits.certificate import read_groups, rows_digest
from datasets.splits.drawn import read_drawn
from datasets.splits.folds import draw_folds
from datasets.splits.pool import group_pairs
from datasets.tables import current_recipe, read_ok, read_table
from datasets.wide import widen
from flows.config import Config
from flows.machinery.prepare import prepared
from flows.machinery.progress import logger
from flows.machinery.run import Run, open_run
from model.calibration import area_under_curve, calibration_error, reliability
from model.data import load_clips
from model.seen_while_said import CODE_VERSION, Agreement, cross_fit, read_heard

_READS = ("pooled", "log_mel")
"""And features_sound, where `agree.sound` names it."""


@flow(name="agree")
@prepared("agree")
def agree(config: Config, retry: tuple[str, ...] = ()) -> None:
    """Score every drawn clip by heads that learned from other videos; done anew when clips or features have changed.

    Args:
        config: the whole configuration.
        retry: nothing is done again by reason here.
    """
    with open_run(config, retry) as run:
        score_clips(run)


def score_clips(run: Run) -> None:
    """Fill the table agreements, as a whole: the heads depend on all clips.

    Heads learn from the train split only, and what the splits keep together, they never divide.

    Raises:
        ValueError: there are no features, or too few videos to set some apart.
    """
    settings, families = run.config.agree, run.config.train.families
    drawn, groups = widen(read_drawn(run.root)).sort_by("clip_id"), _read_groups(run)
    has_features = widen(read_ok(run.root, "pooled", ["clip_id"])).sort_by("clip_id")
    recipe = recipe_of(
        "agreements", CODE_VERSION, settings, families, rows_digest(drawn), rows_digest(has_features),
        [rows_digest(pairs) for pairs in (group_pairs(groups) if groups is not None else ())],
        [current_recipe(run.root, table) for table in dict.fromkeys((*_READS, settings.sound))],
    )  # fmt: skip
    if current_recipe(run.root, "agreements") == recipe:
        return
    run.begin()
    clips = load_clips(run.root, None, families, run.config.run.cache_dir)
    own = drawn.take(pc.index_in(pa.array(clips.clip_ids, pa.large_string()), drawn["clip_id"]))
    is_train = np.asarray(pc.equal(own["split"], "train"))
    weights = 1 + is_train.astype(np.int64) * len(clips)  # what is learned from is spread first
    folds = draw_folds(own.select(["clip_id", "video_id"]), settings.num_folds, settings.seed, groups, weights)
    heard = read_heard(run.root, clips.clip_ids) if settings.sound == "features_sound" else None
    found = cross_fit(clips, folds, is_train, settings, heard)
    columns = zip(clips.clip_ids, clips.video_ids, found.scores, found.probabilities, folds, strict=True)
    rows: list[dict[str, Any]] = [
        dict(zip(("clip_id", "video_id", "score", "probability", "fold"), values, strict=True)) | OK
        for values in columns
    ]
    left = drawn.filter(pc.invert(pc.is_in(drawn["clip_id"], own["clip_id"].combine_chunks())))
    rows += [row | failed("no_features") for row in left.select(["clip_id", "video_id"]).to_pylist()]
    run.write("agreements", rows, recipe)
    figures = describe_agreement(found)
    logger.info("own picture against another's: AUC %.3f; calibration error %.3f", figures["auc"], figures["error"])
    run.record("agreements", recipe, figures=figures, settings=settings.model_dump(mode="json"))


def describe_agreement(found: Agreement) -> dict[str, Any]:
    """How far the probabilities can be believed, on the clips as they are and on shuffled ones."""
    answers = np.repeat([True, False], len(found.scores))
    probabilities = np.concatenate([found.probabilities, found.shuffled_probabilities])
    return {
        "num_clips": len(found.scores),
        "auc": area_under_curve(found.scores, found.shuffled_scores),
        "error": calibration_error(probabilities, answers),
        "reliability": [point.columns() for point in reliability(probabilities, answers)],
    }


def _read_groups(run: Run) -> pa.Table | None:
    """What must not be divided: as for the splits, and captions of one image."""
    pairs = read_ok(run.root, "pairs", ["pair_id", "image_path"])
    if pairs.num_rows:
        return pairs.rename_columns(["video_id", "image"])
    settings = run.config.splits
    by_copies = settings.group_by_duplicates
    copies = read_table(run.root, "duplicates", ["video_id", "copy_id"]) if by_copies else None
    return read_groups(run.root, settings.group_by, settings.duplicates, copies)
