"""The clips of different splits that look most alike: where a test may be a memory of the training."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from datasets.tables import read_ok
from datasets.wide import widen

NUM_PAIRS = 8
_MOST_CLIPS = 50_000
"""Of more there is no such section: every clip is compared with every one of another split."""
_AT_ONCE = 512
_HELD_OUT = ("val", "test")

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Side:
    """One clip of a pair."""

    clip_id: str
    video_id: str
    split: str
    middle_ms: int


@dataclass(frozen=True)
class LookAlike:
    """Two clips of different videos and splits."""

    similarity: float
    """Cosine of their pooled 2D features relative to the mean of all; 1 is the same picture throughout."""
    sides: tuple[Side, Side]


def find_look_alikes(root: str, num_pairs: int = NUM_PAIRS) -> list[LookAlike]:
    """The most alike first, each two videos once; none without features of clips in more than one split."""
    splits = read_ok(root, "splits", ["clip_id", "video_id", "split"])
    pooled = widen(read_ok(root, "pooled", ["clip_id", "pooled_2d"]))
    clips = splits.join(read_ok(root, "clips", ["clip_id", "start_ms", "end_ms"]), "clip_id", join_type="inner")
    clips = widen(clips)
    clips = clips.filter(pc.is_in(clips["clip_id"], pooled["clip_id"])).sort_by("clip_id")
    if not 0 < clips.num_rows <= _MOST_CLIPS or len(clips["split"].unique()) < 2:
        return []
    values = pooled["pooled_2d"].take(pc.index_in(clips["clip_id"], pooled["clip_id"]))
    vectors = np.asarray(pc.list_flatten(values), np.float32).reshape(clips.num_rows, -1)
    # Relative to their mean, of unit length.
    vectors = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    rows = clips.to_pylist()
    sides = [
        Side(row["clip_id"], row["video_id"], row["split"], (row["start_ms"] + row["end_ms"]) // 2) for row in rows
    ]
    found: dict[frozenset[str], LookAlike] = {}
    for similarity, one, other in sorted(_nearest(vectors, sides), reverse=True):
        pair = LookAlike(similarity, (sides[one], sides[other]))
        found.setdefault(frozenset((sides[one].video_id, sides[other].video_id)), pair)
        if len(found) == num_pairs:
            break
    return list(found.values())


def _nearest(vectors: Float32, sides: list[Side]) -> list[tuple[float, int, int]]:
    """(similarity, place of a held-out clip, place of its nearest in another split and video)."""
    split, video = (np.array([getattr(side, name) for side in sides]) for name in ("split", "video_id"))
    held_out, found = np.flatnonzero(np.isin(split, _HELD_OUT)), []
    for start in range(0, len(held_out), _AT_ONCE):
        chosen = held_out[start : start + _AT_ONCE]
        alike = vectors[chosen] @ vectors.T
        alike[(split[chosen, None] == split) | (video[chosen, None] == video)] = -1
        nearest = alike.argmax(axis=1)
        values = alike[np.arange(len(chosen)), nearest]
        found += list(zip(values.tolist(), chosen.tolist(), nearest.tolist(), strict=True))
    return [pair for pair in found if pair[0] > -1]
