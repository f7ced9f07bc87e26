"""Near-duplicate videos (re-uploads) by audio fingerprint and duration, for splits that must not divide them.

Every fingerprint is an array of Chromaprint items, 32 bits for each eighth of a second. An index of sampled items finds
pairs of videos that share some and last about as long; each pair is then laid over one another at the offsets that its
equal items name, and the bits that differ are counted. The work grows with the number of videos, not with its square.

Measured on speech, music and synthetic melodies (ours): a copy encoded again at 32 to 64 kbit/s, also with its first
3 s cut off, differs in 0.1 to 7.1 % of bits and keeps 8 to 98 % of items whole; other audio differs in 40 % or more.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from datasets.seeded_order import Hashes, is_change
from datasets.settings import Settings
from datasets.wide import narrow, widen

Items = npt.NDArray[np.uint32]
Integers = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]

# Chromaprint's frames: 4096 samples at 11,025 Hz, two thirds of each shared with the next.
ITEM_MS = 1365 / 11.025

# Of these many sampled items a video, a copy that keeps 8 % whole shares about ten.
_KEYS_PER_VIDEO = 128
_MIN_SHARED_KEYS = 2
_MIN_SHARED_SHARE = 0.025
# Only these many neighbours by duration are paired through one item, so that a common item costs no square; hundreds
# of copies still hang together as a chain.
_NEIGHBOURS = 4
# No video is uploaded so often; silence and stock jingles are in more.
_MAX_VIDEOS_OF_KEY = 1_000
# A copy that keeps 8 % of 10 s whole names its offset six times.
_MIN_VOTES = 3
_VIDEOS_AT_ONCE = 8192
_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
# Odd, so that no two items get one hash (Knuth's multiplicative hashing).
_MULTIPLIER = np.uint32(0x9E3779B1)


class DuplicateSettings(Settings):
    """When two videos count as one."""

    max_bit_error_rate: float = Field(default=0.2, ge=0, lt=0.5)
    """Share of fingerprint bits that may differ. Copies measured 0.001 to 0.071, other audio 0.40 and more."""

    max_offset_ms: int = Field(default=15_000, ge=0, le=60_000)
    """How much of its start a copy may lack, in ms; our choice, room for a cut greeting or title."""

    max_duration_difference_ms: int = Field(default=15_000, ge=0)
    """How much longer one may last, in ms; our choice, as for the start."""

    min_overlap_ms: int = Field(default=10_000, ge=5_000)
    """Sound that both must share, in ms; stretches where neither fingerprint changes (silence, a held tone) do not
    count, so that silence ties nothing together. Our choice; chance does not reach 0.2 in 80 items of 32 bits."""


def find_duplicates(fingerprints: pa.Table, settings: DuplicateSettings) -> pa.Table:
    """Pairs of videos that are copies of one another; of many copies only so many pairs that they hang together.

    Args:
        fingerprints: columns video_id, duration_ms and fingerprint (raw little-endian uint32 items; null or torn ones
            count as none); each video once.
        settings: when two videos count as one.

    Returns:
        video_id and copy_id, the smaller id first, sorted. The same in any order of rows.
    """
    num_bytes = pc.fill_null(pc.binary_length(fingerprints["fingerprint"]), 0)
    is_whole = pc.equal(pc.bit_wise_and(num_bytes, 3), 0)
    is_there = pc.and_(pc.greater(num_bytes, 0), pc.is_valid(fingerprints["duration_ms"]))
    videos = fingerprints.filter(pc.and_(is_whole, is_there)).select(["video_id", "duration_ms", "fingerprint"])
    order = pc.sort_indices(videos, [("duration_ms", "ascending"), ("video_id", "ascending")]).to_numpy()
    order = order.astype(np.int64)
    duration_ms = videos["duration_ms"].to_numpy()[order]
    pairs = order[_find_candidates(_index_items(videos["fingerprint"], order), duration_ms, settings)]
    rows, place = np.unique(pairs, return_inverse=True)
    # A filter works chunk by chunk; `take` would join the chunks, and binary ends at 2 GB.
    is_needed = np.zeros(videos.num_rows, bool)
    is_needed[rows] = True
    needed = videos["fingerprint"].filter(pa.array(is_needed))
    items = [part for batch, bounds in _read_items(needed) for part in np.split(batch, bounds[1:-1])]
    is_copy = [
        bit_error_rate(items[first], items[second], settings) <= settings.max_bit_error_rate
        for first, second in place.reshape(-1, 2)
    ]
    pairs = pairs[np.array(is_copy, bool)]
    ids = widen(videos.select(["video_id"]))["video_id"]
    first, second = (ids.take(pa.array(pairs[:, side])) for side in (0, 1))
    columns = [pc.min_element_wise(first, second), pc.max_element_wise(first, second)]
    pairs = pa.table(columns, ["video_id", "copy_id"])
    return narrow(pairs.sort_by([("video_id", "ascending"), ("copy_id", "ascending")]))


def bit_error_rate(first: Items, second: Items, settings: DuplicateSettings) -> float:
    """Share of bits that differ between two fingerprints [N], [M] at the best offset; the same either way round.

    Returns:
        0 to 1; 1 when there is no offset within the limit at which the two share items and enough changing sound.
    """
    # Each two equal items vote for an offset, place in second minus place in first.
    max_offset, min_items = round(settings.max_offset_ms / ITEM_MS), max(1, round(settings.min_overlap_ms / ITEM_MS))
    places, others = np.flatnonzero(is_change(first)), np.flatnonzero(is_change(second))
    others = others[np.argsort(second[others], kind="stable")]
    left, right = (np.searchsorted(second[others], first[places], side) for side in ("left", "right"))
    num_equal = right - left
    within = np.arange(num_equal.sum()) - np.repeat(np.cumsum(num_equal) - num_equal, num_equal)
    offsets = others[np.repeat(left, num_equal) + within] - np.repeat(places, num_equal)
    offsets = offsets[np.abs(offsets) <= max_offset]
    votes = np.bincount(offsets + max_offset, minlength=2 * max_offset + 1)
    lowest = 1.0
    # Those with at least half as many votes as the best are tried.
    tried = np.flatnonzero((votes >= _MIN_VOTES) & (2 * votes >= votes.max())) - max_offset
    for offset in tried.tolist():
        start, other_start = max(0, -offset), max(0, offset)
        length = min(len(first) - start, len(second) - other_start)
        ours, theirs = first[start : start + length], second[other_start : other_start + length]
        changes = is_change(ours) | is_change(theirs)
        num_items = int(changes.sum())
        if num_items >= min_items:
            num_bits = float(np.bitwise_count(ours[changes] ^ theirs[changes]).sum())
            lowest = min(lowest, num_bits / (32 * num_items))
    return lowest


def _index_items(fingerprints: pa.ChunkedArray, order: Integers) -> Hashes:
    """Sampled items of all videos, sorted: hash of the item in the upper half, rank of the video in the lower [K].

    Sampling keeps the smallest hashes, so that copies keep the same items.
    """
    rank = np.empty(len(order), np.uint64)
    rank[order] = np.arange(len(order), dtype=np.uint64)
    entries, start = [np.empty(0, np.uint64)], 0
    for items, bounds in _read_items(fingerprints):
        num_videos = len(bounds) - 1
        ranks = rank[start : start + num_videos]
        start += num_videos
        is_new = is_change(items)
        is_new[bounds[:-1]] = True
        num_new = np.add.reduceat(is_new, bounds[:-1], dtype=np.int64)
        hashes = items * _MULTIPLIER
        limit = (np.minimum(1, _KEYS_PER_VIDEO / num_new) * int(_LOW_HALF)).astype(np.uint32)
        lengths = np.diff(bounds)
        keep = is_new & (hashes <= np.repeat(limit, lengths))
        entries.append((hashes[keep].astype(np.uint64) << _HALF) | np.repeat(ranks, lengths)[keep])
    # Not np.unique: it hashes before it sorts, which took two thirds of the whole search (numpy 2).
    found = np.sort(np.concatenate(entries))
    distinct: Hashes = found[is_change(found)]
    return distinct


def _read_items(fingerprints: pa.ChunkedArray) -> Iterator[tuple[Items, Integers]]:
    """Some videos' items one after the other [N], and where each video's begin and end [V + 1]."""
    for chunk in fingerprints.chunks:
        for start in range(0, len(chunk), _VIDEOS_AT_ONCE):
            videos = chunk.slice(start, _VIDEOS_AT_ONCE).cast(pa.large_binary())
            _, offsets, data = videos.buffers()
            bounds = np.frombuffer(offsets, np.int64)[videos.offset : videos.offset + len(videos) + 1]
            items = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]].view("<u4")
            yield items, (bounds - bounds[0]) // 4


def _find_candidates(entries: Hashes, duration_ms: Integers, settings: DuplicateSettings) -> Pairs:
    """Pairs of ranks [P, 2] of videos that share enough of their sampled items and last about as long."""
    num_keys = np.bincount((entries & _LOW_HALF).astype(np.int64), minlength=len(duration_ms))
    keys = entries >> _HALF
    starts = np.flatnonzero(is_change(keys))
    num_videos = np.diff(np.r_[starts, len(keys)])
    entries = entries[np.repeat(num_videos <= _MAX_VIDEOS_OF_KEY, num_videos)]
    rank = (entries & _LOW_HALF).astype(np.int64)
    found = [np.empty(0, np.uint64)]
    for distance in range(1, _NEIGHBOURS + 1):
        near, far = entries[:-distance], entries[distance:]
        same = np.flatnonzero((near >> _HALF) == (far >> _HALF))
        longer_ms = duration_ms[rank[same + distance]] - duration_ms[rank[same]]
        same = same[longer_ms <= settings.max_duration_difference_ms]
        found.append((near[same] << _HALF) | (far[same] & _LOW_HALF))
    pairs, num_shared = np.unique(np.concatenate(found), return_counts=True)
    ranks = np.stack([pairs >> _HALF, pairs & _LOW_HALF], axis=1).astype(np.int64)
    needed = np.maximum(_MIN_SHARED_KEYS, _MIN_SHARED_SHARE * num_keys[ranks].min(axis=1))
    kept: Pairs = ranks[num_shared >= needed]
    return kept
