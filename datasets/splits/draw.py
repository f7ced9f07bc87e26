"""Splits: exactly the asked numbers of clips, drawn at random, and no video in two splits.

Videos that must stay together (one channel, re-uploads of one video) form groups; a video on its own is a group of
one. Groups in hash order fill the splits, smallest split first, each up to its share of the pool; a group too large
for what a split still takes waits for the next one, so that the largest split gets it. Then every split draws its
clips from its groups, again in hash order. Nothing depends on the order of rows, on chunks or on the machine.

Meeting every number without dividing a group is bin covering, which is NP-hard: a pool that is just large enough may
be refused although a cleverer search would find a way.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from datasets.settings import IN_RECIPE_WHEN_SET, OUTSIDE_RECIPE, Settings
from datasets.splits.content import ContentSettings
from datasets.splits.duplicates import DuplicateSettings
from datasets.splits.pool import FREE, DrawRequest, Integers, Pool, SplitError, make_pool
from datasets.wide import widen

__all__ = ["SplitError", "SplitSettings", "draw_splits", "draw_to_fit", "scale_sizes"]


class SplitSettings(Settings):
    """What `draw_splits` draws."""

    train: int = Field(default=10_000, ge=0)
    """Clips in train (the paper's number)."""

    val: int = Field(default=3_000, ge=0)
    """Clips in val (the paper's number)."""

    test: int = Field(default=3_000, ge=0)
    """Clips in test (the paper's number)."""

    seed: int = 0
    """Another seed draws other videos and clips."""

    group_by_channel: bool = False
    """No channel in two splits; the paper asks only for videos."""

    group_by_duplicates: bool = False
    """No re-upload of a video in another split than the video; the paper does not look for them."""

    duplicates: DuplicateSettings = DuplicateSettings()
    """When two videos count as one, for `group_by_duplicates`."""

    group_by_content: Annotated[bool, IN_RECIPE_WHEN_SET] = False
    """No video that looks like a copy of another in another split, as far as stored 2D features tell: draw, featurize,
    and draw again. Needs `make setup-duplicates`."""

    content: Annotated[ContentSettings, IN_RECIPE_WHEN_SET] = ContentSettings()
    """When two videos look alike, for `group_by_content`."""

    max_per_video: int | None = Field(default=None, ge=1)
    """At most so many clips of one video; the paper has no such limit."""

    scale: bool = False
    """When the pool is too small, draw a proportionally smaller set instead of stopping."""

    pinned_from: Annotated[str | None, OUTSIDE_RECIPE] = None
    """An earlier root, or a folder with the parts of its splits table: its clips keep their split. The run's own root
    keeps what its last run drew, so that growing it never moves a clip."""

    @property
    def sizes(self) -> dict[str, int]:
        """Clips asked for in each split."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def group_by(self) -> tuple[str, ...]:
        """What is never divided besides videos: names of `datasets.splits.certificate.GROUPINGS`."""
        chosen = {
            "channel": self.group_by_channel,
            "duplicate": self.group_by_duplicates,
            "content": self.group_by_content,
        }
        return tuple(name for name, is_chosen in chosen.items() if is_chosen)


def draw_splits(
    clips: pa.Table,
    sizes: Mapping[str, int],
    seed: int,
    groups: pa.Table | None = None,
    pinned: pa.Table | None = None,
    max_per_video: int | None = None,
) -> pa.Table:
    """Draw exactly `sizes` clips, no video and no group in two splits.

    Args:
        clips: columns clip_id and video_id; of a column status, only the rows that are ok count.
        sizes: clips asked for, by the split's name.
        seed: another seed draws other videos and clips.
        groups: a column video_id and one or more columns of group ids (strings; a video may have several rows, null is
            no group): videos that share an id in one column are never divided, nor are chains of such videos.
        pinned: an earlier assignment (clip_id, video_id, split). Its clips that are still in `clips` keep their split,
            and its videos give clips to no other; new videos that would tie two splits together are left out.
        max_per_video: at most so many clips of one video.

    Returns:
        clip_id, video_id, split; in the hash order of the clips, so that every prefix is a random draw too.

    Raises:
        SplitError: which constraint binds, and how many clips are missing.
    """
    return draw_exactly(clips, DrawRequest(sizes, seed, groups, pinned, max_per_video))


def draw_exactly(clips: pa.Table, request: DrawRequest) -> pa.Table:
    """`draw_splits` of a request."""
    return _draw(make_pool(clips, request), request.sizes, "add videos, ask for less, or give --scale (splits.scale)")


def scale_sizes(sizes: Mapping[str, int], pool: int) -> dict[str, int]:
    """The asked sizes, or the largest proportional ones (rounded down) that add up to at most `pool` clips."""
    asked = sum(sizes.values())
    return {name: size if asked <= pool else size * pool // asked for name, size in sizes.items()}


def draw_to_fit(clips: pa.Table, request: DrawRequest) -> pa.Table:
    """As `draw_exactly`, but when the pool is too small, the largest proportionally smaller set that can be drawn.

    Pinned clips are kept even where that departs from the proportion.

    Raises:
        SplitError: the pool cannot give one clip to every split that asks for any.
    """
    pool, sizes = make_pool(clips, request), request.sizes
    advice = "no proportionally smaller set can be drawn either: add videos, or ask for less of a split"
    total = min(sum(sizes.values()), len(pool.video))
    problem: SplitError | None = None
    num_pinned = dict(zip(pool.names, _count_pinned(pool).tolist(), strict=True))
    while all(size > 0 or sizes[name] == 0 for name, size in scale_sizes(sizes, total).items()):
        try:
            scaled = scale_sizes(sizes, total).items()
            return _draw(pool, {name: min(sizes[name], max(size, num_pinned[name])) for name, size in scaled}, advice)
        except SplitError as error:
            problem = error
            total = min(total - 1, total * 99 // 100)
    if problem is None:
        return _draw(pool, sizes, advice)
    raise problem


def _count_pinned(pool: Pool) -> Integers:
    return np.bincount(pool.clip_split[pool.clip_split >= 0], minlength=len(pool.names))


def _draw(pool: Pool, sizes: Mapping[str, int], advice: str) -> pa.Table:
    """Assign groups to splits, then take the clips of each split that come first in hash order.

    `advice` is what to do when the clips do not suffice.
    """
    asked = np.array([sizes[name] for name in pool.names], np.int64)
    num_pinned = _count_pinned(pool)
    for name, size, num in zip(pool.names, asked, num_pinned, strict=True):
        if num > size:
            raise SplitError(f"splits: pinned holds {num} clips of {name}, asked for {size}: ask for at least {num}")
    need = asked - num_pinned
    is_usable = pool.within_limit & (pool.clip_split == FREE)
    video_size = np.bincount(pool.video[is_usable], minlength=len(pool.video_split))
    is_free = pool.video_split == FREE
    at_hand = np.array([video_size[pool.video_split == index].sum() for index in range(len(asked))])
    group_size = np.bincount(pool.group[is_free], video_size[is_free], pool.num_groups).astype(np.int64)
    assignment, missing = _assign_groups(group_size.tolist(), np.maximum(need - at_hand, 0).tolist())
    if missing:
        raise SplitError(f"{_explain(pool, asked, need, at_hand, group_size, missing)}; {advice}")
    split = np.where(is_free, assignment[pool.group], pool.video_split).astype(np.int8)[pool.video]
    rows = [np.flatnonzero(pool.clip_split != FREE)]
    for index, size in enumerate(need):
        candidates = np.flatnonzero(is_usable & (split == index))
        rows.append(
            candidates[np.argpartition(pool.clip_hash[candidates], size - 1)[:size]] if size else candidates[:0]
        )
    drawn = np.concatenate(rows)
    drawn = drawn[np.argsort(pool.clip_hash[drawn])]
    names = pa.array(pool.names, pa.string()).take(pa.array(split[drawn]))
    clips = widen(pool.clips).take(pa.array(drawn)).cast(pool.clips.schema)
    return clips.append_column("split", names)


def _assign_groups(group_size: Sequence[int], need: Sequence[int]) -> tuple[Integers, int]:
    """A split for every group (or FREE), and how many clips are missing; the best of three ways.

    First each split takes its share of the whole pool, which spreads the drawn clips over the most videos; when that
    fails, each takes only what it needs; at last the large groups are placed first.

    Args:
        group_size: clips of each group [G], groups in hash order.
        need: clips that each split lacks [S].
    """
    total, total_need = sum(group_size), sum(need)
    in_order = range(len(group_size))
    shares = [size * total // total_need for size in need] if 0 < total_need <= total else need
    best = _fill_splits(in_order, group_size, shares, need)
    if best[1]:
        best = min(best, _fill_splits(in_order, group_size, need, need), key=itemgetter(1))
    if best[1]:
        largest_first = sorted(in_order, key=group_size.__getitem__, reverse=True)
        best = min(best, _fill_splits(largest_first, group_size, need, need), key=itemgetter(1))
    return best


def _fill_splits(
    order: Sequence[int], group_size: Sequence[int], targets: Sequence[int], need: Sequence[int]
) -> tuple[Integers, int]:
    assignment = np.full(len(group_size), FREE)
    missing = 0
    waiting = list(order)
    for split in sorted(range(len(need)), key=lambda index: (need[index], -index)):
        # Groups that fit into the target are taken in order; the others wait.
        taken: list[int] = []
        passed: list[int] = []
        total = 0
        for place, group in enumerate(waiting):
            if total == targets[split]:
                passed += waiting[place:]
                break
            if total + group_size[group] <= targets[split]:
                taken.append(group)
                total += group_size[group]
            else:
                passed.append(group)
        waiting = passed
        if total < need[split] and waiting:
            # All that wait are larger than what is missing: the smallest wastes least.
            smallest = min(waiting, key=group_size.__getitem__)
            taken.append(smallest)
            waiting.remove(smallest)
            total += group_size[smallest]
        assignment[taken] = split
        missing += max(0, need[split] - total)
    return assignment, missing


def _explain(pool: Pool, asked: Integers, need: Integers, at_hand: Integers, group_size: Integers, missing: int) -> str:
    """One line: which constraint binds, and what is missing."""
    wanted, num_clips, within_limit = int(asked.sum()), len(pool.video), int(pool.within_limit.sum())
    request = f"splits: {wanted} clips asked for ({', '.join(map('{}: {}'.format, pool.names, asked))})"
    if num_clips < wanted:
        return f"{request}, the pool has {num_clips}: {wanted - num_clips} missing"
    if within_limit < wanted:
        return f"{request}, max_per_video leaves {within_limit} of {num_clips}: {wanted - within_limit} missing"
    reachable = int(np.minimum(at_hand, need).sum() + group_size.sum())
    if reachable < need.sum():
        short = int(need.sum()) - reachable
        return f"{request}, but clips of pinned videos may not change their split: {short} missing"
    kind = "group" if pool.num_groups < len(pool.group) else "video"
    return (
        f"{request}, but no {kind} may be divided: {missing} missing of {num_clips} clips in "
        f"{pool.num_groups} {kind}s, the largest of {group_size.max()} clips"
    )
