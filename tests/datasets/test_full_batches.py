import pytest

from datasets.full_batches import share_batches


@pytest.mark.parametrize(("lengths", "size"), [([], 4), ([3, 0, 9], 4), ([4, 4], 4), ([1, 1, 1], 8)])
def test_shared_batches_are_full_and_hold_each_item_once(lengths, size):
    batches = list(share_batches(lengths, size))
    items = [(number, item) for batch in batches for number, part in batch for item in range(part.start, part.stop)]
    assert items == [(number, item) for number, length in enumerate(lengths) for item in range(length)]
    assert all(sum(part.stop - part.start for _, part in batch) == size for batch in batches[:-1])
