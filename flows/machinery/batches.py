"""What is left to do, in how large pieces, and how one row's failure stays one row."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from math import ceil
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.tasks import Task
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from datasets.outcomes import DeviceError, TransientError, failed, ran_out
from datasets.resuming import subtract
from datasets.seeded_order import hash_strings
from datasets.wide import narrow
from flows.config import RunSettings
from flows.machinery.progress import logger, track
from flows.machinery.run import Run
from flows.machinery.runners import open_runner

T = TypeVar("T")
F = TypeVar("F")
_OF_THE_MACHINE = (DeviceError, ImportError, MemoryError)
"""Every other row would meet these, too: no item takes away a library, or more memory than its bounds allow."""
TASK_OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def left_to_do(keys: pa.Table, run: Run, table: str, recipe: str) -> pa.Table:
    """Rows of `keys` that `table` lacks under `recipe`, and those the run is to retry, with their `attempt`."""
    new, again = subtract(keys, run.root, table, recipe, run.retry)
    first = pa.repeat(pa.scalar(0, pa.int32()), new.num_rows)
    return pa.concat_tables([new.append_column("attempt", first), again], promote_options="permissive")


def keep_part(rows: pa.Table, column: str, part: str | None) -> pa.Table:
    """The rows of one part of a root, "3/16", or all: videos are dealt by a hash of their ids, so that runs on machines
    that know nothing of each other never do the same, also while the root grows.

    Raises:
        ValueError: there is no such part.
    """
    if part is None:
        return rows
    number, count = map(int, part.split("/"))
    if number > count:
        raise ValueError(f"run.part: there is no part {part}; the last is {count}/{count}")
    return rows.filter(pa.array(hash_strings(rows[column], "part") % np.uint64(count) == number - 1))


def may_record(run: Run, rows: pa.Table, recipes: dict[str, str]) -> bool:
    """Whether a run that is done may make recipes current: that over the last part of the rows, or over all of them.

    Args:
        run: the run.
        rows: of the whole root, as given to `keep_part`.
        recipes: of the tables that the run has filled.
    """
    part = run.config.run.part
    if part and any(subtract(rows, run.root, *table)[0].num_rows for table in recipes.items()):
        logger.info("part %s is done; the part that ends last makes what all have done current", part)
        return False
    return True


def cut_batches(todo: pa.Table, batch_size: int, num_workers: int = 1) -> list[pa.Table]:
    """Disjoint batches in the order of `todo`, each of one attempt, and narrow.

    Args:
        todo: rows, with or without a column attempt.
        batch_size: most rows of a batch.
        num_workers: of this machine; batches are also small enough that each has one.
    """
    batch_size, batches = max(1, min(batch_size, ceil(todo.num_rows / num_workers))), []
    for attempt in pc.unique(todo["attempt"]).to_pylist() if "attempt" in todo.column_names else [None]:
        same = todo if attempt is None else todo.filter(pc.equal(todo["attempt"], attempt))
        batches += [narrow(same.slice(start, batch_size)) for start in range(0, same.num_rows, batch_size)]
    return batches


def attempt_of(batch: pa.Table) -> int:
    """The attempt that a batch of `cut_batches` is."""
    return int(batch["attempt"][0].as_py())


def run_batches(batch_task: Task[..., None], batches: list[pa.Table], run: Run, *args: Any, description: str) -> None:
    """Do every batch as one Prefect task, several at once."""
    if not batches:
        return
    run.begin()
    futures: list[PrefectFuture[Any]] = []
    with open_runner(batch_task.name, run.config) as submit:
        try:
            for batch in batches:
                futures.append(submit(batch_task, batch, run, *args))
            for _ in track(futures, description, [batch.num_rows for batch in batches]):
                pass
        except Exception:  # raised again; after Ctrl-C nobody waits
            _end(futures)
            raise


def _end(futures: list[PrefectFuture[Any]]) -> None:
    """Let no batch of this process begin any more, and wait for those that have: they write to a root, which another
    run may take as soon as this one has failed.
    """
    own = (getattr(future, "wrapped_future", None) for future in futures)
    wait([future for future in own if isinstance(future, Future) and not future.cancel()])


def settle_row(function: Callable[[], T], on_failure: Callable[[dict[str, Any]], F], settings: RunSettings) -> T | F:
    """Do one row's work so that whatever happens it ends as a row.

    Transient trouble is tried again with growing delays; after the last try its reason becomes the row's. This holds
    the project's one broad `except`: a surprise is recorded as `unexpected`, and the run fails when there are many.
    What this machine lacks is no row's fault: it ends the run, and the next one does what is left.
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
    except _OF_THE_MACHINE:
        raise
    except Exception as error:  # no item is lost to a surprise: it is a row, and the log has all of it
        if ran_out(error):
            raise
        logger.exception("unexpected")
        return on_failure(failed("unexpected", f"{type(error).__name__}: {error}"))
