"""Tidying up: old run records of Prefect, cached copies of features that nothing reads, and many small parts."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
)

from datasets.compaction import COMPACTED, compact_table
from flows.config import Config
from flows.machinery.locks import hold_root
from flows.machinery.prepare import prepared
from flows.machinery.progress import logger

FLOW_NAMES = (
    "ablate",
    "agree",
    "check-availability",
    "curate",
    "curate-daily",
    "describe",
    "evaluate",
    "experiment",
    "export-original",
    "featurize",
    "finetune",
    "housekeeping",
    "import-original",
    "pairs",
    "pipeline",
    "pipeline-with-pages",
    "pretrain",
    "publish",
    "publish-when-enough",
    "regenerate",
    "takedown",
    "transcribe",
)
"""Flows of this project; a Prefect server may hold other people's as well."""
_PAGE = 200
_S_PER_DAY = 86_400


@flow(name="housekeeping")
@prepared("housekeeping")
def housekeeping(config: Config, dry_run: bool = False) -> dict[str, int]:
    """Delete records of this project's runs that ended, and cached copies not read, for `schedules.keep_days` days;
    merge the small parts of every table, so that what a run lists and opens does not grow with every run before it.

    Args:
        config: the whole configuration; no row of a table, no media, checkpoint or release is touched.
        dry_run: only count.

    Returns:
        How many "run records", "cached files" and "parts" went, or would go; a dry run counts no parts.

    Raises:
        RootBusyError: another run works on the root.
    """
    days, merged = config.schedules.keep_days, 0
    if not dry_run:
        with hold_root(config.root):
            merged = sum(before - after for before, after in map(partial(compact_table, config.root), COMPACTED))
    # Prefect's records grow by about 33 KB a task; children go with their parents' age, as any other run.
    ended = FlowRunFilterEndTime(before_=datetime.now(UTC) - timedelta(seconds=days * _S_PER_DAY))
    ours = FlowFilter(name=FlowFilterName(any_=list(FLOW_NAMES)))
    num_runs = 0
    with get_client(sync_client=True) as client:
        of_age = FlowRunFilter(end_time=ended)
        asked = partial(client.read_flow_runs, flow_filter=ours, flow_run_filter=of_age, limit=_PAGE)
        while runs := asked(offset=num_runs if dry_run else 0):
            for run in runs if not dry_run else ():
                client.delete_flow_run(run.id)
            num_runs += len(runs)
    # Memory-mapped copies that `model.vectors` made, and makes anew when they are asked for. They are read by memory
    # map, which moves neither time on most mounts: age is that of the copy.
    before, cached = time.time() - days * _S_PER_DAY, config.run.cache_dir
    copies = Path(cached).glob("*.arrow") if cached is not None else ()
    old = [path for path in copies if path.stat().st_mtime < before]
    for path in old if not dry_run else ():
        path.unlink()
    gone = {"run records": num_runs, "cached files": len(old), "parts": merged}
    logger.info("housekeeping: %s older than %d days%s", gone, days, ", all kept" if dry_run else "")
    return gone
