"""Random order without a random generator: ids sorted by a hash of seed and id.

The order depends on the ids alone, so rows may come in any order, in any chunks, on any machine. All of it is numpy on
Arrow's buffers, 8 bytes of every id at once: 10 million clip ids take about two seconds, hashlib a row at a time ten.
"""

import hashlib
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]

_ROWS_AT_ONCE = 1 << 18


def unique_hashes(ids: pa.ChunkedArray, salt: str) -> Hashes:
    """One 64-bit hash for every id, all different; a collision of unequal ids makes all be hashed again.

    Raises:
        ValueError: an id is null or there twice; the message names it.
    """
    if ids.null_count:
        raise ValueError(f"{ids.null_count} ids are null")
    for attempt in count():
        hashes = hash_strings(ids, f"{salt}/{attempt}")
        ordered = np.sort(hashes)
        repeated = np.unique(ordered[~is_change(ordered)])
        if repeated.size == 0:
            return hashes
        suspects = ids.filter(pa.array(np.isin(hashes, repeated)))
        if len(pc.unique(suspects)) < len(suspects):
            twice = pc.value_counts(suspects).to_pylist()
            raise ValueError(f"{min(pair['values'] for pair in twice if pair['counts'] > 1)!r} is there twice")
    raise AssertionError("count() does not end")


def drawn_by(text: str) -> bytes:
    """Sorts a few ids, as `sorted(ids, key=drawn_by)`, in an order that nobody chose and every run finds again."""
    return hashlib.sha256(text.encode()).digest()


def hash_strings(strings: pa.ChunkedArray, salt: str) -> Hashes:
    """64-bit hashes [N] of strings [N] without nulls; equal for equal (string, salt). Not cryptographic."""
    start = np.frombuffer(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "<u8")
    chunks = [
        chunk.slice(row, _ROWS_AT_ONCE)
        for chunk in strings.cast(pa.large_string()).chunks
        for row in range(0, len(chunk), _ROWS_AT_ONCE)
    ]
    found = [np.empty(0, np.uint64)]
    for chunk in chunks:
        _, offset_buffer, data_buffer = chunk.buffers()
        offsets = np.frombuffer(offset_buffer, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8)
        lengths = np.diff(offsets)
        hashes = np.empty(len(chunk), np.uint64)
        for length in np.flatnonzero(np.bincount(lengths)):
            rows = np.flatnonzero(lengths == length)
            # Zeros fill the last word; the length is hashed too, so that an id and the same id with zero bytes differ.
            padded = np.zeros((rows.size, -(-length // 8) * 8), np.uint8)
            if rows.size == len(chunk):
                padded[:, :length] = data[offsets[0] : offsets[-1]].reshape(rows.size, length)
            else:
                padded[:, :length] = data[offsets[rows][:, None] + np.arange(length)]
            state = np.repeat(mix(start ^ np.uint64(length)), rows.size)
            for word in padded.view("<u8").T:
                state = mix(state ^ word)
            hashes[rows] = state
        found.append(hashes)
    return np.concatenate(found)


def is_change(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """True where a value differs from the one before it [N], as the first does."""
    changes = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes


def mix(hashes: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the input moves half of the output's."""
    hashes = hashes + np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
