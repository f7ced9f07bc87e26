"""Clips to splits: the draw, the pins it keeps, and the certificate."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.settings import recipe_of
from datasets.splits.certificate import (
    CERTIFICATE_FILE,
    read_groups,
    rows_digest,
    search_duplicates,
    split_certificate,
    write_certificate,
)
from datasets.splits.content import CODE_VERSION, find_content_copies
from datasets.splits.draw import draw_exactly, draw_to_fit
from datasets.splits.pins import read_assignment, read_pins, write_pins
from datasets.splits.pool import DrawRequest, SplitError, group_pairs
from datasets.tables import add_ok_columns, current_recipe, list_parts, read_ok, read_table
from datasets.wide import widen
from flows.machinery.progress import logger
from flows.machinery.run import Run


def assign_splits(run: Run) -> None:
    """Draw train, val and test from the clips there are: table splits, and the certificate that proves it.

    The draw depends on the whole pool of clips, so the pool is part of its recipe: new clips mean a new draw, which
    keeps what `splits.pinned_from` names.

    Raises:
        SplitError: the pool cannot give the asked numbers, or there is nothing to pin.
    """
    settings = run.config.splits
    clips = widen(read_ok(run.root, "clips", ["clip_id", "video_id"])).sort_by("clip_id")
    copies = find_copies(run) if settings.group_by_duplicates else None
    if settings.group_by_content:
        find_content(run)
    groups = read_groups(run.root, settings.group_by, settings.duplicates, copies)
    pairs = group_pairs(groups) if groups is not None else ()
    inputs = (settings, rows_digest(clips.select(["clip_id", "video_id"])), [rows_digest(rows) for rows in pairs])
    pinned, recipe = _choose_pins(run, inputs)
    request = DrawRequest(settings.sizes, settings.seed, groups, pinned, settings.max_per_video)
    if not list_parts(run.root, "splits", recipe):
        run.begin()
        drawn = (draw_to_fit if settings.scale else draw_exactly)(clips, request)
        run.write("splits", add_ok_columns(drawn), recipe)
    if current_recipe(run.root, "splits") != recipe:
        run.begin()
        splits = read_table(run.root, "splits", ["clip_id", "video_id", "split"], recipe=recipe)
        sizes = {name: pc.sum(pc.equal(splits["split"], name)).as_py() or 0 for name in settings.sizes}
        if pinned is not None:
            write_pins(run.root, pinned)
        certificate = split_certificate(
            splits,
            clips,
            replace(request, sizes=sizes),
            group_by=settings.group_by,
            duplicates=settings.duplicates if settings.group_by_duplicates else None,
            asked=settings.sizes,
        )
        write_certificate(run.root, certificate)
        if not certificate["passed"]:
            raise SplitError(f"{CERTIFICATE_FILE}: the draw fails a check; delete the table splits, and run again")
    run.record("splits", recipe)


def find_copies(run: Run) -> pa.Table:
    """Pairs of videos that are copies: table duplicates, searched anew only when the fingerprints or settings changed.

    Parts never change, so their names stand for the fingerprints, which need not be read (3.8 GB of a million videos).
    """
    settings, segmented = run.config.splits.duplicates, current_recipe(run.root, "segmentations")
    parts = [Path(path).name for path in list_parts(run.root, "segmentations", segmented)]
    recipe = recipe_of(settings, segmented, parts)
    if current_recipe(run.root, "duplicates") != recipe:
        run.begin()
        run.write("duplicates", add_ok_columns(search_duplicates(run.root, settings)), recipe)
        run.record("duplicates", recipe)
    return read_table(run.root, "duplicates", ["video_id", "copy_id"], recipe=recipe)


def find_content(run: Run) -> None:
    """Pairs of videos that look alike: table content_duplicates, searched anew when features or settings changed."""
    settings, featurized = run.config.splits.content, current_recipe(run.root, "features_2d")
    parts = [Path(path).name for path in list_parts(run.root, "features_2d", featurized)]
    recipe = recipe_of("content", CODE_VERSION, settings, featurized, parts)
    if current_recipe(run.root, "content_duplicates") == recipe:
        return
    run.begin()
    if not parts:
        logger.warning("splits.group_by_content: there are no 2D features yet: featurize, then run this again")
    pairs = find_content_copies(read_table(run.root, "features_2d", ["clip_id", "video_id", "values"]), settings)
    run.write("content_duplicates", add_ok_columns(pairs), recipe)
    run.record("content_duplicates", recipe)


def _choose_pins(run: Run, inputs: tuple[Any, ...]) -> tuple[pa.Table | None, str]:
    """The earlier assignment to keep, if any, and the recipe of the draw that keeps it."""
    source, current = run.config.splits.pinned_from, current_recipe(run.root, "splits")
    is_own = False
    if source is not None:
        is_url = "://" in source or "://" in run.root
        places = [place.rstrip("/") if is_url else Path(place).resolve() for place in (source, run.root)]
        is_own = places[0] == places[1]
    if is_own:
        if current is None:
            return None, _draw_recipe(inputs, None)
        # While nothing changed, the last draw stands with what it kept; else it is itself what is kept.
        for pinned in (read_pins(run.root), None):
            if _draw_recipe(inputs, pinned) == current:
                return pinned, current
    pinned = read_assignment(source) if source is not None else None
    return pinned, _draw_recipe(inputs, pinned)


def _draw_recipe(inputs: tuple[Any, ...], pinned: pa.Table | None) -> str:
    return recipe_of(*inputs, rows_digest(pinned) if pinned is not None else None)
