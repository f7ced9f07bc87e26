"""Find near-duplicates among many videos with fingerprints of two minutes, or planted copies by what is seen.

Run: python -m benchmarks.bench_duplicates [num_videos]; every tenth video is a copy.
Run: python -m benchmarks.bench_duplicates --media DIR [num_videos]; DIR has photographs (.jpg, at any depth), every
video has a copy, and the threshold is taken from one half of the videos and measured on the other.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.limits import peak_gigabytes
from benchmarks.planted_copies import CHANGES, make_frames
from datasets.splits.content import ContentSettings, find_content_copies
from datasets.splits.duplicates import DuplicateSettings, find_duplicates

ITEMS = 940
COPY_SHARE = 0.1
BIT_ERROR_RATE = 0.05
COMMON_ITEMS = 40
"""Each fingerprint holds so many of 200 items that all share, as silence and jingles do."""


def make_fingerprints(num_videos: int) -> tuple[pa.Table, int]:
    """Random fingerprints, some noisy copies with up to 8 s cut off; and the number of copies."""
    rng = np.random.default_rng(0)
    items = rng.integers(0, 1 << 32, (num_videos, ITEMS), dtype=np.uint32)
    common = rng.integers(0, 1 << 32, 200, dtype=np.uint32)
    items[:, 400 : 400 + COMMON_ITEMS] = common[rng.integers(0, 200, (num_videos, COMMON_ITEMS))]
    duration_ms = rng.lognormal(np.log(400_000), 0.6, num_videos).astype(np.int64)
    num_copies = int(num_videos * COPY_SHARE)
    for copy, source in enumerate(rng.permutation(np.arange(num_copies, num_videos))[:num_copies]):
        cut = int(rng.integers(0, 65))
        flips = np.packbits(rng.random((ITEMS, 32)) < BIT_ERROR_RATE, axis=1).view("<u4")[:, 0]
        items[copy] = np.roll(items[source], -cut) ^ flips
        duration_ms[copy] = duration_ms[source] - cut * 124
    binary = pa.FixedSizeBinaryArray.from_buffers(pa.binary(ITEMS * 4), num_videos, [None, pa.py_buffer(items)])
    chunked = pa.chunked_array(
        [binary.slice(start, 100_000).cast(pa.binary()) for start in range(0, num_videos, 100_000)]
    )
    video_id = pa.array([f"v{number:010d}" for number in range(num_videos)])
    return pa.table({"video_id": video_id, "duration_ms": duration_ms, "fingerprint": chunked}), num_copies


def measure_sound(num_videos: int) -> None:
    fingerprints, num_copies = make_fingerprints(num_videos)
    start, cpu_start = time.perf_counter(), time.process_time()
    pairs = find_duplicates(fingerprints, DuplicateSettings())
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    print(f"{num_videos:,} videos, {num_copies:,} of them copies; {pairs.num_rows:,} pairs found")
    print(f"{seconds:.1f} s ({cpu_seconds:.1f} of CPU); peak of the process {peak_gigabytes():.2f} GB")


def make_looks(media: Path, num_videos: int) -> tuple[pa.Table, list[str]]:
    """Features of videos and their copies, `NUMBER-CHANGE` by id, and the changes in turn."""
    from features.encoders import load_encoder

    encoder = load_encoder("efficientnet_lite0")
    photos = sorted(media.rglob("*.jpg"))
    photos = [photos[place] for place in np.random.default_rng(0).permutation(len(photos))]
    ids, values = [], []
    for number in range(num_videos):
        own = [photos[(2 * number + place) % len(photos)] for place in (0, 1)]
        for change in (None, list(CHANGES)[number % len(CHANGES)]):
            rows = encoder(make_frames(own, number, change))
            values.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).tolist())
            ids.append(f"{number:05d}-{change or 'original'}")
    vectors = pa.array(values, pa.list_(pa.list_(pa.float16(), encoder.dim)))
    return pa.table({"clip_id": ids, "video_id": ids, "values": vectors}), ids


def measure_looks(media: Path, num_videos: int) -> None:
    """Print the threshold of one half of the videos, and what it finds in the other."""
    features, ids = make_looks(media, num_videos)
    is_even = pa.array([int(name[:5]) // len(CHANGES) % 2 == 0 for name in ids])
    halves = [features.filter(is_even), features.filter(pc.invert(is_even))]
    chosen = choose_threshold(find_content_copies(halves[0], ContentSettings(min_similarity=0.5)))
    planted = [name for name in halves[1]["video_id"].to_pylist() if not name.endswith("original")]
    for name, min_similarity in (("of the first half", chosen), ("the default", ContentSettings().min_similarity)):
        pairs = find_content_copies(halves[1], ContentSettings(min_similarity=min_similarity))
        is_right = own_copies(pairs)
        found = {video for side in ("video_id", "copy_id") for video in pairs[side].filter(is_right).to_pylist()}
        lost = [video for video in planted if video not in found]
        other = pairs.filter(pc.invert(is_right))
        false_pairs = zip(other["video_id"].to_pylist(), other["copy_id"].to_pylist(), strict=True)
        false = {(a[:5], b[:5]) for a, b in false_pairs}
        print(
            f"threshold {min_similarity:.3f} ({name}): {len(planted) - len(lost)} of {len(planted)} copies, lost {lost}"
        )
        print(f"  {len(false)} false groups beside {len(planted) - len(lost)} right ones: {sorted(false)[:5]}")


def own_copies(pairs: pa.Table) -> pa.ChunkedArray:
    """True for pairs of a video and its own copy."""
    video, copy = (pc.utf8_slice_codeunits(pairs[side], 0, 5) for side in ("video_id", "copy_id"))
    return pc.equal(video, copy)


def choose_threshold(pairs: pa.Table) -> float:
    """Between the least similar copy and the most similar other pair, or the former's where they overlap."""
    is_copy = own_copies(pairs)
    copies, others = (pairs["similarity"].filter(chosen).to_numpy() for chosen in (is_copy, pc.invert(is_copy)))
    least, most = float(np.quantile(copies, 0.02)), float(np.quantile(others, 0.98)) if len(others) else 0.5
    return (least + most) / 2 if most < least else least


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num_videos", nargs="?", type=int)
    parser.add_argument("--media", type=Path)
    arguments = parser.parse_args()
    if arguments.media is None:
        measure_sound(arguments.num_videos or 100_000)
    else:
        measure_looks(arguments.media, arguments.num_videos or 200)
