"""A permission to train that was withdrawn becomes a takedown."""

import pyarrow.compute as pc

from datasets.erasure import list_pending
from datasets.tables import read_ok
from flows.machinery.progress import logger
from flows.machinery.run import Run
from flows.stages.publish import check_is_local
from flows.stages.takedown import take_out

_WITHDRAWN = "permission withdrawn"


def take_down_withdrawn(run: Run) -> None:
    """Take down what was permitted once and is no longer; ends a takedown that was interrupted, too."""
    if run.config.permissions.mode == "off":
        return
    answers = read_ok(run.root, "permissions", ["video_id", "is_permitted", "was_permitted"])
    is_withdrawn = pc.and_(answers["was_permitted"], pc.invert(answers["is_permitted"]))
    withdrawn = {*answers.filter(is_withdrawn)["video_id"].to_pylist(), *list_pending(run.root, _WITHDRAWN)}
    if not withdrawn:
        return
    check_is_local(run.root)
    logger.warning("permission was withdrawn for %d videos: they are taken down", len(withdrawn))
    found = take_out(run, _WITHDRAWN, withdrawn, "the owner withdrew the permission to train")
    for name in (*found.left, *found.unsearched):
        logger.warning("look yourself at %s", name)
    for name in found.checkpoints:
        logger.warning("checkpoint %s was trained on them: train again", name)
