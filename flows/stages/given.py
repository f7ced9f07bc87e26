"""Clips that a list of one's own names, with what it says of them: nothing is segmented."""

from collections.abc import Mapping

from datasets.outcomes import OK
from datasets.settings import recipe_of
from datasets.tables import read_ok
from extract.clip_lists import read_list
from extract.regeneration import Listing
from flows.config import ConfigError
from flows.machinery.progress import logger
from flows.machinery.run import Run
from flows.stages.regenerate import cut_listed_clips, hide_tombstoned, read_outcomes, write_whole


def cut_given_clips(run: Run) -> None:
    """Tables clips and, where the list has captions, transcripts.

    Raises:
        ConfigError: no list is the source.
        ClipListError: a list that cannot be read.
    """
    path = run.config.source.ids_file
    if run.config.source.name != "ids" or path is None:
        raise ConfigError("clips.given cuts what a list names: give `curate --from LIST --clips given`")
    found = read_list(path, video_column=run.config.source.column)
    logger.info("%s", found.describe())
    listing = hide_tombstoned(run, Listing(path.name, found.video_ids, found.clips, found.skipped))
    cut_listed_clips(run, listing, read_outcomes(run))
    if found.captions and run.config.transcripts.model is None:
        keep_captions(run, found.captions)


def keep_captions(run: Run, captions: Mapping[str, str]) -> None:
    """What the list says of each clip that could be cut, where a recogniser's words would stand: table transcripts."""
    said = {"language": run.config.selection.language, "engine": "list", **OK}
    kept = read_ok(run.root, "clips", ["clip_id", "video_id"]).to_pylist()
    rows = [{**clip, "text": captions[clip["clip_id"]], **said} for clip in kept if clip["clip_id"] in captions]
    recipe = recipe_of("captions of a list", sorted(captions.items()))
    write_whole(run, "transcripts", rows, recipe)
    made = {"name": "captions of a list", "trained": True, "weights": "trained", "precision": "as given"}
    run.record("transcripts", recipe, feature_recipe=recipe, encoder=made)
