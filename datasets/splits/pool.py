"""What the clips of a draw are: hashes, groups of videos that stay together, pins of an earlier release, limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.seeded_order import Hashes, is_change, mix, unique_hashes
from datasets.tables import keep_ok
from datasets.wide import narrow

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

FREE, LEFT_OUT = -1, -2


class SplitError(ValueError):
    """The pool cannot give the asked splits; the message says which constraint binds and what is missing."""


@dataclass(frozen=True)
class DrawRequest:
    """What a draw is asked for; `datasets.splits.draw.draw_splits` says what each means."""

    sizes: Mapping[str, int]
    seed: int
    groups: pa.Table | None = None
    pinned: pa.Table | None = None
    max_per_video: int | None = None

    def __post_init__(self) -> None:
        for name, size in self.sizes.items():
            if size < 0:
                raise SplitError(f"splits: size of {name} must be 0 or more, got {size}")
        if not self.sizes:
            raise SplitError("splits: sizes names no split")
        if self.max_per_video is not None and self.max_per_video < 1:
            raise SplitError(f"splits: max_per_video must be 1 or more, got {self.max_per_video}")

    @property
    def group_pairs(self) -> dict[str, pa.Table]:
        """(video_id, group_id) of each kind of group, by its name."""
        names = [name for name in self.groups.column_names if name != "video_id"] if self.groups is not None else []
        return dict(zip(names, group_pairs(self.groups) if self.groups is not None else (), strict=True))


@dataclass(frozen=True)
class Pool:
    """Everything a draw needs that does not depend on the asked sizes. C clips, V videos, G groups."""

    clips: pa.Table
    """clip_id, video_id [C]."""
    clip_hash: Hashes
    """[C]."""
    video: Integers
    """Video of each clip [C]."""
    group: Integers
    """Group of each video [V]; numbered in hash order."""
    video_split: Integers
    """Split of each video by pins, or FREE or LEFT_OUT [V]."""
    clip_split: Integers
    """Split of each pinned clip, or FREE [C]."""
    within_limit: Booleans
    """Not above max_per_video [C]."""
    names: list[str]
    """Splits, in the order of their names."""

    @property
    def num_groups(self) -> int:
        """G."""
        return int(self.group.max()) + 1 if self.group.size else 0


def make_pool(clips: pa.Table, request: DrawRequest) -> Pool:
    """Prepare a draw."""
    clips, names, pinned = drawable_clips(clips), sorted(request.sizes), request.pinned
    videos, video = _encode(clips["video_id"])
    try:
        clip_hash = unique_hashes(clips["clip_id"], f"{request.seed}/clip")
    except ValueError as error:
        raise SplitError(f"splits: clips.clip_id: {error}") from None
    group = _group_videos(videos, unique_hashes(videos, f"{request.seed}/video"), request.groups)
    if pinned is None:
        clip_split, video_split = np.full(len(video), FREE), np.full(len(videos), FREE)
    else:
        clip_split, pinned_split = _read_pins(clips, videos, names, pinned)
        _check_pinned_groups(videos, pinned_split, request.groups, names)
        # The videos of a pinned group get its split; between two splits, the new ones are left out.
        lowest = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
        highest = np.full(len(lowest), FREE)
        is_pinned = pinned_split >= 0
        np.minimum.at(lowest, group[is_pinned], pinned_split[is_pinned])
        np.maximum.at(highest, group[is_pinned], pinned_split[is_pinned])
        group_split = np.where(highest == FREE, FREE, np.where(lowest == highest, highest, LEFT_OUT))
        video_split = np.where(is_pinned, pinned_split, group_split[group])
        if (video_split[video] != clip_split)[clip_split >= 0].any():
            raise SplitError("splits: pinned gives a clip to another video than clips does")
    within_limit, limit = np.ones(len(video), bool), request.max_per_video
    if limit is not None:
        # The first of each video: pinned ones, then in hash order.
        order = np.lexsort((clip_hash, clip_split < 0, video))
        ordered = video[order]
        starts = np.flatnonzero(is_change(ordered))
        rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
        within_limit[order] = rank < limit
        if ((clip_split >= 0) & ~within_limit).any():
            raise SplitError(f"splits: pinned has a video with more than max_per_video={limit} clips; raise the limit")
    return Pool(clips, clip_hash, video, group, video_split, clip_split, within_limit, names)


def drawable_clips(clips: pa.Table) -> pa.Table:
    """clip_id and video_id of the rows that are ok (all, when there is no column status)."""
    clips = _require(clips, "clips", "clip_id", "video_id")
    return (keep_ok(clips) if "status" in clips.column_names else clips).select(["clip_id", "video_id"])


def _require(table: pa.Table, name: str, *columns: str) -> pa.Table:
    for column in columns:
        if column not in table.column_names:
            raise SplitError(f"splits: {name} must have a column {column}, got {table.column_names}")
        if table[column].null_count:
            raise SplitError(f"splits: {name}.{column} must not be null, got {table[column].null_count} nulls")
    return table


def _encode(strings: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Integers]:
    """Distinct strings, and the index of each row's."""
    # Few chunks first: unifying a dictionary of each takes time that grows with the square of their number.
    strings = pa.chunked_array([strings.cast(pa.large_string()).combine_chunks()])
    encoded = strings.dictionary_encode().unify_dictionaries()
    if encoded.num_chunks == 0:
        return strings, np.empty(0, np.int64)
    indices = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]).astype(np.int64)
    return pa.chunked_array([encoded.chunk(0).dictionary]), indices


def group_pairs(groups: pa.Table) -> Iterator[pa.Table]:
    """(video_id, group_id) of each column of group ids, without null ids."""
    groups = _require(groups, "groups", "video_id")
    for column in groups.column_names:
        if column != "video_id":
            pairs = groups.select(["video_id", column]).rename_columns(["video_id", "group_id"])
            yield pairs.filter(pc.is_valid(pairs["group_id"]))


def _group_videos(videos: pa.ChunkedArray, video_hash: Hashes, groups: pa.Table | None) -> Integers:
    """Group of each video [V], numbered in hash order: videos that hang together, through ones outside the pool too."""
    component = np.arange(len(videos))
    if groups is not None:
        columns = [_as_text(pairs) for pairs in group_pairs(groups)]
        mentioned = [chunk for pairs in columns for chunk in pairs["video_id"].chunks]
        _, node = _encode(pa.chunked_array([*videos.cast(pa.large_string()).chunks, *mentioned], pa.large_string()))
        num_nodes = node.max(initial=-1) + 1
        targets = [np.empty(0, np.int64)]
        for pairs in columns:
            target = _encode(pairs["group_id"])[1] + num_nodes
            num_nodes = target.max(initial=num_nodes - 1) + 1
            targets.append(target)
        source, joined = node[len(videos) :], np.concatenate(targets)
        # Here, since every command reads settings that stand beside the draw, and few draw.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        edges = coo_array((np.ones(len(source), bool), (source, joined)), shape=(num_nodes, num_nodes))
        component = connected_components(edges, directed=False)[1][: len(videos)].astype(np.int64)
    # The smallest hash of a group belongs to it whatever the order of its videos; mixed again, large groups do not
    # come first.
    smallest = np.full(component.max(initial=-1) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(smallest, component, video_hash)
    present = np.flatnonzero(np.bincount(component))
    rank = np.empty(len(smallest), np.int64)
    rank[present[np.argsort(mix(smallest[present]))]] = np.arange(len(present))
    return rank[component]


def _as_text(pairs: pa.Table) -> pa.Table:
    return pairs.cast(pa.schema([(name, pa.large_string()) for name in pairs.column_names]))


def _read_pins(
    clips: pa.Table, videos: pa.ChunkedArray, names: list[str], pinned: pa.Table
) -> tuple[Integers, Integers]:
    """Split of each clip [C] and of each video [V] by the earlier assignment, FREE for the new ones."""
    pinned = _require(pinned, "pinned", "clip_id", "video_id", "split")
    unknown = set(pinned["split"].unique().to_pylist()) - set(names)
    if unknown:
        raise SplitError(f"splits: pinned has splits that sizes does not name: {sorted(unknown)}")
    by_video = narrow(pinned).group_by("video_id").aggregate([("split", "min"), ("split", "max")])
    torn = by_video.filter(pc.not_equal(by_video["split_min"], by_video["split_max"]))["video_id"]
    if len(torn):
        raise SplitError(f"splits: pinned has videos in two splits: {sorted(torn.to_pylist())[:3]}")
    clip_split = _look_up(clips["clip_id"], pinned["clip_id"], pinned["split"], names)
    return clip_split, _look_up(videos, by_video["video_id"], by_video["split_min"], names)


def _look_up(ids: pa.ChunkedArray, keys: pa.ChunkedArray, splits: pa.ChunkedArray, names: list[str]) -> Integers:
    """Index of the split of each id, FREE where the keys lack it."""
    place = pc.index_in(ids, keys.cast(ids.type))
    index = pc.index_in(splits.take(place), pa.array(names, splits.type))
    found: Integers = pc.fill_null(index, FREE).to_numpy().astype(np.int64)
    return found


def _check_pinned_groups(
    videos: pa.ChunkedArray, video_split: Integers, groups: pa.Table | None, names: list[str]
) -> None:
    """Raise when two pinned videos of different splits share a group id: no draw can mend that."""
    if groups is None:
        return
    is_pinned = pa.array(video_split >= 0)
    columns = {"video_id": videos.cast(pa.large_string()).filter(is_pinned), "split": video_split[video_split >= 0]}
    splits = narrow(pa.table(columns))
    for pairs in group_pairs(groups):
        by_group = narrow(_as_text(pairs)).join(splits, "video_id", join_type="inner").group_by("group_id")
        by_group = by_group.aggregate([("split", "min"), ("split", "max")])
        torn = by_group.filter(pc.not_equal(by_group["split_min"], by_group["split_max"]))
        if torn.num_rows:
            row = torn.sort_by("group_id").slice(0, 1).to_pylist()[0]
            raise SplitError(
                f"splits: pinned has group {row['group_id']!r} in {names[row['split_min']]} and "
                f"{names[row['split_max']]}; drop the grouping or the earlier assignment"
            )
