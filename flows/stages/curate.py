"""Queries to clips: search, ask for permission where that is wanted, download, segment, clip, split."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.counts import count_rows
from datasets.splits.draw import SplitError
from flows.config import Config
from flows.machinery.prepare import prepared
from flows.machinery.run import Run, open_run
from flows.stages.clip import make_clips
from flows.stages.download import fetch_videos
from flows.stages.given import cut_given_clips
from flows.stages.permissions import ask_permissions
from flows.stages.search import find_videos
from flows.stages.segment import find_speech
from flows.stages.split import assign_splits


@flow(name="curate", task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # invariant upstream
@prepared("curate")
def curate(config: Config, retry: tuple[str, ...] = ()) -> None:
    """From queries to clips in splits; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.

    Raises:
        MachineError: this machine lacks something, the speech weights say; told before the hours of download.
        SplitError: the clips cannot give the asked splits.
    """
    with open_run(config, retry) as run:
        curate_root(run)


def curate_root(run: Run) -> None:
    """All stages, one after the other."""
    find_videos(run)
    ask_permissions(run)
    fetch_videos(run)
    find_clips(run)
    draw_clips(run)


def draw_clips(run: Run) -> None:
    """The splits; where there are too few clips for them, an error says what was lost, too."""
    try:
        assign_splits(run)
    except SplitError as error:
        where = f"`python -m flows status --root {run.root}` shows where videos and clips were lost"
        raise SplitError(f"{error}; {_name_losses(run.root)}{where}") from error


def _name_losses(root: str) -> str:
    """The commonest reasons of videos and clips that are lost, with what mends them."""
    rows = [row for name in ("videos", "media", "clips") for row in count_rows(root, name) if row["reason"]]
    rows.sort(key=lambda row: -int(row["items"] or 0))
    told = [f"{row['reason']} {row['items']:,}{_MENDS.get(str(row['reason']), '')}" for row in rows[:3]]
    return f"lost to {', '.join(told)}; " if told else ""


_MENDS = {
    "clip_too_short": " (clips.bridge_gap_ms=700 joins speech over short pauses)",
    "too_few_views": " (selection.min_views)",
    "wrong_language": " (selection.language says which is asked for)",
}


def find_clips(run: Run) -> None:
    """The clips of what was downloaded: those that a list names, or those that its speech gives."""
    if run.config.clips.given:
        cut_given_clips(run)
    else:
        find_speech(run)
        make_clips(run)
