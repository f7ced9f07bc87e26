"""One run over one root: its configuration, its id, and what it records beside the tables."""

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from datasets.tables import add_common_columns, current_recipe, make_table, read_ok, record_run, write_part
from datasets.wide import narrow, widen
from flows.config import Config
from flows.machinery import stopping
from flows.machinery.locks import hold_root
from flows.machinery.runners import stages_on_ray

logger = logging.getLogger("curation")
T = TypeVar("T")


class WorkLeftError(Exception):
    """A run that only looks has come to the first thing that it would do."""


@dataclass(frozen=True)
class Run:
    """One run over one root: what every stage needs to know."""

    config: Config
    run_id: str
    retry: tuple[str, ...] = ()
    """Reasons whose rows are done again, as the next attempt."""
    only_looks: bool = False
    """Plan as ever, and do nothing: `look`."""

    @property
    def root(self) -> str:
        """Folder or URL of the dataset root."""
        return self.config.root

    def begin(self) -> None:
        """Every stage calls this before it does something.

        Raises:
            WorkLeftError: this run only looks.
        """
        if self.only_looks:
            raise WorkLeftError

    def write(
        self,
        table: str,
        rows: pa.Table | Iterable[dict[str, Any]],
        recipe: str,
        attempt: int = 0,
        input_keys: Sequence[str] | None = None,
    ) -> None:
        """Write one part of `table` (`datasets.tables.write_part`), of rows without recipe, attempt and run id."""
        made: dict[str, Any] = {"recipe": recipe, "run_id": self.run_id, "attempt": attempt}
        part = add_common_columns(rows, **made) if isinstance(rows, pa.Table) else make_table(table, rows, **made)
        write_part(self.root, table, part, input_keys)

    def record(self, table: str, recipe: str, **more: Any) -> None:
        """Make `recipe` current for `table`, with the configuration and code it comes from, and what else is told."""
        if self.only_looks and current_recipe(self.root, table) == recipe:
            return
        self.begin()
        provenance = {
            "run_id": self.run_id,
            "config": self.config.model_dump(mode="json"),
            "code_version": code_version(),
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **more,
        }
        record_run(self.root, table, recipe, provenance)


def look(work: Callable[..., T], config: Config, *args: Any, retry: tuple[str, ...] = ()) -> T:
    """What a run that has nothing left to do returns, found out by the code of the run itself, without Prefect.

    What is logged on the way is told only where there is nothing to do: else the run itself tells it.

    Args:
        work: of the run and `args`; what a flow does.
        config: the whole configuration.
        args: further arguments of the work.
        retry: reasons whose rows are to be done again.

    Raises:
        WorkLeftError: there is something to do.
    """
    told: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        told.append(record)
        return False

    logger.addFilter(keep)
    try:
        # A root that is not there is nobody's, and looking makes none.
        is_there = "://" in config.root or Path(config.root).is_dir()
        with hold_root(config.root, config.run.part) if is_there else nullcontext():
            result = work(Run(_on_any_node(config), "looks", retry, only_looks=True), *args)
    finally:
        logger.removeFilter(keep)
    for record in told:
        logger.handle(record)
    return result


def start_run(config: Config, retry: tuple[str, ...] = ()) -> Run:
    """The run of the Prefect flow that calls this."""
    from prefect.runtime import flow_run

    run_id = flow_run.get_id()
    stopping.take_back()
    if run_id:
        stopping.flow_runs.append(run_id)
    return Run(_on_any_node(config), run_id or "outside-of-a-flow", retry)


@contextmanager
def open_run(config: Config, retry: tuple[str, ...] = ()) -> Iterator[Run]:
    """`start_run`, and hold the root, or the part of it that is configured, until the block ends."""
    run = start_run(config, retry)
    with hold_root(config.root, config.run.part):
        yield run


def _on_any_node(config: Config) -> Config:
    """The configuration with paths that mean the same from whatever folder a cluster's worker was started."""
    if not stages_on_ray(config):
        return config
    root, media_root = config.root, config.run.media_root
    run = config.run.model_copy(update={"media_root": media_root and str(Path(media_root).absolute())})
    return config.model_copy(update={"root": root if "://" in root else str(Path(root).absolute()), "run": run})


def code_version() -> str:
    """What an image says it was built from (CODE_VERSION), or the commit of the checkout, or "unknown"."""
    if os.environ.get("CODE_VERSION"):
        return os.environ["CODE_VERSION"]
    git = shutil.which("git")
    if git is None:
        return "unknown"
    # describe --dirty would lock the checkout's index and write it anew, beside whoever commits there.
    command = [git, "--no-optional-locks", "-C", str(Path(__file__).parent)]
    commit, changed = (
        subprocess.run([*command, *words], capture_output=True, text=True, check=False).stdout.strip()
        for words in (["describe", "--always"], ["status", "--porcelain", "--untracked-files=no"])
    )
    return f"{commit}-dirty" if commit and changed else commit or "unknown"


def media_table(run: Run) -> pa.Table:
    """Downloaded videos: video_id, the absolute path of the file, and which of several sound tracks is heard."""
    media = read_ok(run.root, "media", ["video_id", "media_path", "audio_track"])
    # Not Path.resolve for each: of a million videos that was half of all planning.
    paths = pc.binary_join_element_wise(str(run.config.media_root.resolve()), media["media_path"], "/")
    return pa.table({"video_id": media["video_id"], "media_path": paths, "audio_track": media["audio_track"]})


def with_media(clips: pa.Table, run: Run) -> pa.Table:
    """Clips with the file that each is cut from; wide, and sorted, so that clips of a video are neighbours."""
    return widen(narrow(clips).join(media_table(run), keys="video_id", join_type="left outer")).sort_by("clip_id")
