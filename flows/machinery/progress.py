"""One wording for the progress of every long stage: a bar in a terminal, plain lines in a log, an artifact."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, as_completed
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from datasets.wording import format_amount
from flows.machinery.artifacts import create_artifact, update_artifact
from flows.machinery.stopping import tell_left

# Its bars are ours alone, and need what sys.stderr does not let through.
console = Console(file=sys.__stderr__, force_terminal=sys.__stderr__ is not None and sys.__stderr__.isatty())
logger = logging.getLogger("curation")
_TOLD_PER_STAGE = 10


def track(futures: list[PrefectFuture[Any]], description: str, sizes: list[int]) -> Iterator[Any]:
    """Results of batches as they end, with progress in items.

    Args:
        futures: one submitted task a batch.
        description: what is done, with the plural of the item: "segment videos".
        sizes: items of each batch.
    """
    size_of = {future.task_run_id: size for future, size in zip(futures, sizes, strict=True)}
    ended: set[UUID] = set()
    done, total = 0, sum(sizes)

    def count_done() -> int:
        is_done = (future.task_run_id in ended or _ended_well(future) for future in futures)
        return sum(size for size, is_one in zip(sizes, is_done, strict=True) if is_one)

    tell_left(description, count_done, total)
    with show_steps(description) as show:
        for future in as_completed(futures):
            result = future.result()
            ended.add(future.task_run_id)
            done += size_of[future.task_run_id]
            show(done, total)
            yield result
    tell_left(description, lambda: total, total)


def _ended_well(future: PrefectFuture[Any]) -> bool:
    """Whether a batch of this process is done, also one that nobody waits for any more; a cluster's is not asked."""
    inner = getattr(future, "wrapped_future", None)
    if not isinstance(inner, Future) or not inner.done() or inner.cancelled() or inner.exception() is not None:
        return False
    return bool(inner.result().is_completed())


@contextmanager
def show_steps(description: str) -> Iterator[Callable[..., None]]:
    """A function to call with (items done, items in all): it moves the bar, and about ten times a stage the log line
    and the flow run's artifact, all in the words of `tell`.
    """
    began, told = time.monotonic(), 0
    artifact = _Artifact(description)
    columns = BarColumn(), TextColumn("{task.description}")
    where: dict[str, Any] = {"console": console, "redirect_stdout": False, "redirect_stderr": False}
    with Progress(*columns, **where, disable=not console.is_terminal) as bars:
        bar = bars.add_task(description, total=None)

        def show(done: int, total: int, *_: float) -> None:
            nonlocal told
            words = tell(description, done, total, time.monotonic() - began)
            bars.update(bar, completed=done, total=total, description=words)
            if done * _TOLD_PER_STAGE // max(total, 1) > told:
                told = done * _TOLD_PER_STAGE // max(total, 1)
                artifact.update(words, done / max(total, 1))
                if not console.is_terminal:
                    logger.info(words)

        yield show


def tell(description: str, done: int, total: int, seconds: float) -> str:
    """Progress in words: "segment videos: 40 of 100, 12 a minute, about 5 min left"."""
    words = f"{description}: {done:,} of {total:,}"
    if not done or seconds <= 0:
        return words
    per_second, left_s = done / seconds, (total - done) * seconds / done
    rate = f"{per_second:.1f} a second" if per_second >= 1 else f"{60 * per_second:.1f} a minute"
    if done >= total:
        return f"{words}, {rate}"
    return f"{words}, {rate}, about {format_amount(round(1000 * left_s))} left"


class _Artifact:
    """The progress artifact of one stage; none outside of a flow run."""

    def __init__(self, description: str) -> None:
        self._key = re.sub("[^a-z0-9]+", "-", description.lower())
        self._id: UUID | None = None

    def update(self, words: str, share: float) -> None:
        """Show so much as done."""
        if FlowRunContext.get() is None:
            return
        if self._id is None:
            self._id = create_artifact(self._key, "progress", 100 * share, words)
        else:
            update_artifact(self._id, 100 * share, words)
