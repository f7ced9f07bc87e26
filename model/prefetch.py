"""The next batch is put together while the step before it is taken."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prepare_ahead(items: Iterator[T]) -> Iterator[tuple[T, float]]:
    """Each item, made by a thread of its own one ahead of its use, and the seconds that its use had to wait."""
    end = object()
    with ThreadPoolExecutor(1, "batches") as pool:
        coming = pool.submit(next, items, end)
        while True:
            began = time.perf_counter()
            item = coming.result()
            if item is end:
                return
            waited_s = time.perf_counter() - began
            coming = pool.submit(next, items, end)
            yield item, waited_s  # type: ignore[misc]
