"""The original's YouCook2 and YouCook-Japanese pickles: into our tables, and back."""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from datasets.files import open_whole
from datasets.ids import make_clip_id
from datasets.schemas import list_of_vectors
from datasets.tables import add_ok_columns
from model.avlnet import NUM_MELS
from model.data import FAMILIES, ClipSet
from model.originals.pickles import LegacyError, read_pickle

_FRAME_MS = 10


@dataclass(frozen=True)
class NamedClip:
    """One clip of the original, checked, with names of ours."""

    clip_id: str
    video_id: str
    start_ms: int
    end_ms: int
    audio: npt.NDArray[np.float32]
    """[T, 40] frames."""
    pooled: dict[str, npt.NDArray[np.float32]]
    """{family: [D]}, L2-normalised as our table holds them; the original's loader does so itself."""


def read_clips(path: str | Path) -> list[NamedClip]:
    """The clips of one of the original's pickles.

    A clip is named by its video, start and end where the pickle has them (seconds there, milliseconds here), else by
    its id and the length of its audio. Of clips of one name each ends a millisecond after the one before.

    Raises:
        LegacyError: see `read_pickle`; or arrays of the wrong size, or numbers that float32 does not hold.
    """
    clips = [_named(str(path), clip) for clip in read_pickle(path)]
    for family in FAMILIES:
        sizes = sorted({len(clip.pooled[family]) for clip in clips})
        if len(sizes) != 1:
            raise LegacyError(f"{path}: {family} vectors must be of one size, got {sizes}")
    return name_apart(clips, set())


def name_apart(clips: Iterable[NamedClip], taken: set[str]) -> list[NamedClip]:
    """The clips, each under a name that is not `taken`, to which they are added."""
    apart = []
    for clip in clips:
        while clip.clip_id in taken:
            end_ms = clip.end_ms + 1
            clip = replace(clip, clip_id=make_clip_id(clip.video_id, clip.start_ms, end_ms), end_ms=end_ms)
        taken.add(clip.clip_id)
        apart.append(clip)
    return apart


def tables_of_clips(clips: Sequence[NamedClip], split: str) -> dict[str, pa.Table]:
    """Rows of the tables clips, splits, log_mel and pooled, without recipe, attempt and run_id."""
    ids = {"clip_id": pa.array([clip.clip_id for clip in clips]), "video_id": pa.array([c.video_id for c in clips])}
    times = {name: pa.array([getattr(clip, name) for clip in clips], pa.int64()) for name in ("start_ms", "end_ms")}
    num_frames = pa.array([len(clip.audio) for clip in clips], pa.int32())
    offsets = np.cumsum([0, *(len(clip.audio) for clip in clips)]).astype(np.int32)
    frames = pa.array(np.concatenate([clip.audio for clip in clips]).reshape(-1))
    frames = pa.FixedSizeListArray.from_arrays(frames, NUM_MELS)
    values = pa.ListArray.from_arrays(offsets, frames, type=list_of_vectors(NUM_MELS, pa.float32()))
    columns = {
        "clips": {**times, "speech_ms": pa.nulls(len(clips), pa.int64())},
        "splits": {"split": pa.array([split] * len(clips))},
        "log_mel": {"values": values, "num_frames": num_frames},
        "pooled": {f"pooled_{family}": pa.array([clip.pooled[family] for clip in clips]) for family in FAMILIES},
    }
    return {name: add_ok_columns(pa.table({**ids, **own})) for name, own in columns.items()}


def write_pickle(clips: ClipSet, dim_2d: int, path: str | Path) -> None:
    """Write clips as the original's loader wants them, whole or not at all.

    Args:
        clips: of one split.
        dim_2d: values of the video vector that are its 2D half.
        path: local file.
    """
    rows = []
    for i, (clip_id, video_id) in enumerate(zip(clips.clip_ids, clips.video_ids, strict=True)):
        audio = torch.from_numpy(clips.frames(i).T.copy())
        halves = {"2d": clips.video[i, :dim_2d], "3d": clips.video[i, dim_2d:]}
        _, start_ms, end_ms = clip_id.rsplit("_", 2)
        seconds = {"start": int(start_ms) / 1000, "end": int(end_ms) / 1000}
        rows.append({**halves, "audio": audio, "id": clip_id, "video_id": video_id, "caption": "", **seconds})
    with open_whole(path) as file:
        _PortablePickler(file, protocol=4).dump(rows)


class _PortablePickler(pickle.Pickler):
    """Arrays by a name that numpy 1 and 2 both have."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.frombuffer, (value.tobytes(), value.dtype.str)
        return NotImplemented


def _named(path: str, clip: dict[str, Any]) -> NamedClip:
    audio = _float32(f"{path}: audio of {clip['id']}", clip["audio"])
    if audio.ndim != 2 or audio.shape[0] != NUM_MELS or audio.shape[1] == 0:
        raise LegacyError(f"{path}: audio of {clip['id']} must be [{NUM_MELS}, T], got {list(audio.shape)}")
    video_id = str(clip.get("video_id", clip["id"]))
    start_ms, end_ms = (round(float(clip.get(key, 0)) * 1000) for key in ("start", "end"))
    if end_ms <= start_ms:
        end_ms = start_ms + _FRAME_MS * audio.shape[1]
    pooled = {}
    for family in FAMILIES:
        where = f"{path}: {family} of {clip['id']}"
        vector = _float32(where, clip[family])
        if vector.size == 0 or vector.size != max(vector.shape, default=0):
            raise LegacyError(f"{where} must be one vector, pooled over time, got {list(vector.shape)}")
        wide = vector.reshape(-1).astype(np.float64)  # the square of a large float32 is none
        pooled[family] = (wide / max(float(np.linalg.norm(wide)), 1e-12)).astype(np.float32)
    return NamedClip(make_clip_id(video_id, start_ms, end_ms), video_id, start_ms, end_ms, audio.T, pooled)


def _float32(where: str, values: Any) -> npt.NDArray[np.float32]:
    with np.errstate(all="ignore"):  # what float32 cannot hold is refused in the next line
        numbers = np.asarray(values, np.float32)
    if not np.isfinite(numbers).all():
        raise LegacyError(f"{where} must be finite numbers of float32, not all are")
    return numbers
