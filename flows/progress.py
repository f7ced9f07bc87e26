"""One wording for the progress of every long stage: a bar in a terminal, plain lines in a log."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.futures import PrefectFuture, as_completed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True)
logger = logging.getLogger("curation")
_LINES_PER_STAGE = 10


def track(futures: list[PrefectFuture[Any]], description: str, sizes: list[int]) -> Iterator[Any]:
    """Results of batches as they end, with progress in items.

    Args:
        futures: one submitted task a batch.
        description: what is done, with the plural of the item: "segment videos".
        sizes: items of each batch.
    """
    size_of = {future.task_run_id: size for future, size in zip(futures, sizes, strict=True)}
    done = 0
    with show_steps(description) as show:
        for future in as_completed(futures):
            result = future.result()
            done += size_of[future.task_run_id]
            show(done, sum(sizes))
            yield result


@contextmanager
def show_steps(description: str) -> Iterator[Callable[..., None]]:
    """A function to call with (items done, items in all); it moves the bar, or logs about ten lines a stage."""
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    told = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(description, total=None)

        def show(done: int, total: int, *_: float) -> None:
            nonlocal told
            progress.update(bar, completed=done, total=total)
            if not console.is_terminal and done * _LINES_PER_STAGE // max(total, 1) > told:
                told = done * _LINES_PER_STAGE // max(total, 1)
                logger.info("%s: %d of %d", description, done, total)

        yield show
