"""What is left to do, in how large pieces, and how one row's failure stays one row."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.tasks import Task
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from datasets.outcomes import TransientError, failed
from datasets.tables import list_parts, record_run, subtract
from flows.config import Config, RunSettings
from flows.machinery.locks import RootBusyError, hold_lease
from flows.machinery.progress import logger, track
from flows.machinery.runners import open_runner, stages_on_ray

T = TypeVar("T")
F = TypeVar("F")
TASK_OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@dataclass(frozen=True)
class Run:
    """One run over one root: what every stage needs to know."""

    config: Config
    run_id: str
    retry: tuple[str, ...] = ()
    """Reasons whose rows are done again, as the next attempt."""

    @property
    def root(self) -> str:
        """Folder or URL of the dataset root."""
        return self.config.root

    @property
    def media_root(self) -> Path:
        """Folder of the downloaded media; always local, and apart from the table `media`, which others read whole."""
        return Path(self.config.run.media_root or Path(self.root) / "media_files")

    def record(self, table: str, recipe: str, **more: Any) -> None:
        """Make `recipe` current for `table`, with the configuration and code it comes from, and what else is told."""
        provenance = {
            "run_id": self.run_id,
            "config": self.config.model_dump(mode="json"),
            "code_version": code_version(),
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **more,
        }
        record_run(self.root, table, recipe, provenance)


def start_run(config: Config, retry: tuple[str, ...] = ()) -> Run:
    """The run of the Prefect flow that calls this."""
    return Run(_on_any_node(config), flow_run.get_id() or "outside-of-a-flow", retry)


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
    command = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


@contextmanager
def hold_root(root: str) -> Iterator[None]:
    """Keep other runs off a root: by a lock that the kernel lets go when this process dies, or on an object store by a
    lease that then ends by itself.

    Raises:
        RootBusyError: another run holds it.
    """
    if "://" in root:
        with hold_lease(root):
            yield
        return
    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RootBusyError(f"another run works on the root {root}: wait for it to end, or stop it") from error
        _remove_leftovers(folder)
        yield
    finally:
        os.close(descriptor)


def check_root_is_free(root: str) -> None:
    """Raise RootBusyError if another run holds the root."""
    with hold_root(root):
        pass


def _remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of a killed run; while the root is held only a report could be writing one."""
    for leftover in folder.rglob(".*.tmp"):
        leftover.unlink()


def left_to_do(keys: pa.Table, run: Run, table: str, recipe: str) -> pa.Table:
    """Rows of `keys` that `table` lacks under `recipe`, and those the run is to retry, with their `attempt`."""
    new, again = subtract(keys, run.root, table, recipe, run.retry)
    first = pa.repeat(pa.scalar(0, pa.int32()), new.num_rows)
    return pa.concat_tables([new.append_column("attempt", first), again], promote_options="permissive")


def cut_batches(todo: pa.Table, batch_size: int) -> list[pa.Table]:
    """Disjoint batches of at most `batch_size` rows, in the order of `todo`, each of one attempt."""
    batches = []
    for attempt in pc.unique(todo["attempt"]).to_pylist() if "attempt" in todo.column_names else [None]:
        same = todo if attempt is None else todo.filter(pc.equal(todo["attempt"], attempt))
        batches += [same.slice(start, batch_size) for start in range(0, same.num_rows, batch_size)]
    return batches


def run_batches(
    batch_task: Task[..., Any], batches: list[pa.Table], run: Run, *args: Any, description: str
) -> list[Any]:
    """Do every batch as one Prefect task, several at once, and return their results as they end."""
    if not batches:
        return []
    with open_runner(batch_task.name, run.config) as submit:
        futures = [submit(batch_task, batch, run, *args) for batch in batches]
        return list(track(futures, description, [batch.num_rows for batch in batches]))


def settle_row(function: Callable[[], T], on_failure: Callable[[dict[str, Any]], F], settings: RunSettings) -> T | F:
    """Do one row's work so that whatever happens it ends as a row.

    Transient trouble is tried again with growing delays; after the last try its reason becomes the row's. This holds
    the project's one broad `except`: a surprise is recorded as `unexpected`, and the run fails when there are many.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(settings.max_tries),
        wait=wait_exponential_jitter(
            multiplier=settings.first_retry_delay_s,
            max=settings.max_retry_delay_s,
            jitter=settings.first_retry_delay_s,
        ),
        reraise=True,
    )
    try:
        return retrying(function)
    except TransientError as error:
        return on_failure(failed(error.reason, error.detail))
    except Exception as error:  # noqa: BLE001 - no item may be lost to a surprise: it is logged whole, and counted
        logger.exception("unexpected")
        return on_failure(failed("unexpected", f"{type(error).__name__}: {error}"))


def has_parts(root: str, table: str, recipe: str) -> bool:
    """True if the table has any rows of this recipe."""
    return bool(list_parts(root, table, recipe))
