"""Full batches out of several lists: only the last of all is short."""

from collections.abc import Iterator, Sequence


def share_batches(num_items: Sequence[int], batch_size: int) -> Iterator[list[tuple[int, slice]]]:
    """Fill batches from several lists in turn: the number of a list, and which of its items."""
    batch: list[tuple[int, slice]] = []
    room = batch_size
    for number, length in enumerate(num_items):
        start = 0
        while start < length:
            stop = min(length, start + room)
            batch.append((number, slice(start, stop)))
            room -= stop - start
            start = stop
            if room == 0:
                yield batch
                batch, room = [], batch_size
    if batch:
        yield batch
