"""Rules to what is trained on: table filtered tells what each rule leaves out. Without `[filters]` nothing of it is."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from datasets.filters import Figures, FilterSettings, count_rules, judge_clips, read_figures, weigh
from datasets.tables import current_recipe
from flows.machinery.run import Run, logger

if TYPE_CHECKING:
    from model.data import ClipSet


def filter_clips(run: Run) -> None:
    """Write down what each rule leaves out or weighs: table filtered, anew when a rule or a figure has changed."""
    settings = run.config.filters
    if not settings.rules:
        return
    figures = read_figures(run.root, settings)
    if current_recipe(run.root, "filtered") == figures.recipe:
        return
    run.begin()
    judged = judge_clips(settings, figures)
    run.write("filtered", judged, figures.recipe)
    counts = count_rules(settings, figures, judged)
    for row in counts:
        missing = f"; {row['without_figure']:,} have no figure: {settings.missing}" if row["without_figure"] else ""
        told = "rule %(rule)s (%(text)s) %(does)s %(falls)d of %(clips)d clips%(missing)s"
        logger.info(told, {**row, "missing": missing})
    run.record("filtered", figures.recipe, rules=counts)


def filter_recipe(run: Run) -> tuple[str, ...]:
    """What rules add to the recipe of whatever is made of the clips: nothing where there are none."""
    settings = run.config.filters
    return (read_figures(run.root, settings).recipe,) if settings.rules else ()


def keep_by_rules(clips: "ClipSet", split: str, settings: FilterSettings, figures: Figures) -> "ClipSet":
    """The clips of a split that no rule leaves out; those to train on with their weights, where a rule weighs.

    Raises:
        ValueError: none is left.
    """
    if split not in settings.splits:
        return clips
    weights = weigh(clips.clip_ids, judge_clips(settings, figures))
    kept = clips.subset(np.flatnonzero(weights))
    if not len(kept):
        raise ValueError(f"[filters] leaves out all {len(clips)} clips of split {split}: loosen a rule")
    return kept if (weights[weights > 0] == 1).all() else replace(kept, weights=weights[weights > 0])
