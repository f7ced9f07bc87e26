"""The original's YouCook2 and YouCook-Japanese pickles: into our tables, and back."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from datasets.files import open_whole
from datasets.outcomes import Status
from datasets.schemas import list_of_vectors
from model.avlnet import NUM_MELS
from model.data import ClipSet
from model.originals.pickles import LegacyError, read_pickle

_FRAME_MS = 10


def tables_of_pickle(path: str | Path, split: str) -> dict[str, pa.Table]:
    """Rows of the tables splits, log_mel and pooled, without recipe, attempt and run_id.

    Clips are named by video_id, start and end where the pickle has them (seconds there, milliseconds here), else by
    their id and the length of their audio.

    Raises:
        LegacyError: see `read_pickle`; or clips of one name, or arrays of the wrong size.
    """
    clips = read_pickle(path)
    names = [_names(clip) for clip in clips]
    twice = [name for name, count in Counter(clip_id for clip_id, _ in names).items() if count > 1]
    if twice:
        raise LegacyError(f"{path} holds {len(twice)} clips more than once, the first is {twice[0]}")
    ids = {"clip_id": pa.array([name[0] for name in names]), "video_id": pa.array([name[1] for name in names])}
    audio = [_audio(path, clip) for clip in clips]
    return {
        "splits": _with_outcome({**ids, "split": pa.array([split] * len(clips))}),
        "log_mel": _with_outcome(
            {**ids, "values": _list_of_frames(audio), "num_frames": pa.array([len(a) for a in audio], pa.int32())}
        ),
        "pooled": _with_outcome(
            {**ids, **{f"pooled_{family}": _list_of_vectors(path, clips, family) for family in ("2d", "3d")}}
        ),
    }


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
        rows.append({**halves, "audio": audio, "id": clip_id, "video_id": video_id, "caption": "", **_seconds(clip_id)})
    with open_whole(path) as file:
        _PortablePickler(file, protocol=4).dump(rows)


class _PortablePickler(pickle.Pickler):
    """Arrays by a name that numpy 1 and 2 both have."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.frombuffer, (value.tobytes(), value.dtype.str)
        return NotImplemented


def _names(clip: dict[str, Any]) -> tuple[str, str]:
    """(clip_id, video_id)."""
    if {"video_id", "start", "end"} <= clip.keys():
        video_id, start_ms, end_ms = (
            str(clip["video_id"]),
            *(round(float(clip[key]) * 1000) for key in ("start", "end")),
        )
    else:
        video_id, start_ms, end_ms = str(clip["id"]), 0, _FRAME_MS * int(clip["audio"].shape[-1])
    return f"{video_id}_{start_ms:09d}_{end_ms:09d}", video_id


def _seconds(clip_id: str) -> dict[str, float]:
    _, start_ms, end_ms = clip_id.rsplit("_", 2)
    return {"start": int(start_ms) / 1000, "end": int(end_ms) / 1000}


def _audio(path: str | Path, clip: dict[str, Any]) -> npt.NDArray[np.float32]:
    """[T, 40] frames of a clip's [40, T] tensor."""
    audio = _float32(f"{path}: audio of {clip['id']}", clip["audio"])
    if audio.ndim != 2 or audio.shape[0] != NUM_MELS:
        raise LegacyError(f"{path}: audio of {clip['id']} must be [{NUM_MELS}, T], got {list(audio.shape)}")
    return audio.T


def _float32(where: str, values: Any) -> npt.NDArray[np.float32]:
    with np.errstate(all="ignore"):  # what float32 cannot hold is refused in the next line
        numbers = np.asarray(values, np.float32)
    if not np.isfinite(numbers).all():
        raise LegacyError(f"{where} must be finite numbers of float32, not all are")
    return numbers


def _list_of_frames(audio: list[npt.NDArray[np.float32]]) -> pa.Array:
    offsets = np.cumsum([0, *(len(frames) for frames in audio)]).astype(np.int32)
    values = pa.array(np.concatenate(audio).reshape(-1))
    frames = pa.FixedSizeListArray.from_arrays(values, NUM_MELS)
    return pa.ListArray.from_arrays(offsets, frames, type=list_of_vectors(NUM_MELS, pa.float32()))


def _list_of_vectors(path: str | Path, clips: list[dict[str, Any]], family: str) -> pa.Array:
    """L2-normalised, as our table holds them; the original's loader does so itself."""
    vectors = [_float32(f"{path}: {family} of {clip['id']}", clip[family]).reshape(-1) for clip in clips]
    sizes = sorted({len(vector) for vector in vectors})
    if len(sizes) != 1:
        raise LegacyError(f"{path}: {family} vectors must be of one size, got {sizes}")
    matrix = np.stack(vectors)
    # In float64: the square of a large float32 is none.
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
    matrix = (matrix / np.maximum(norms, 1e-12)).astype(np.float32)
    offsets = np.arange(len(clips) + 1, dtype=np.int32) * sizes[0]
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.reshape(-1)))


def _with_outcome(columns: dict[str, pa.Array]) -> pa.Table:
    table = pa.table(columns)
    n = table.num_rows
    table = table.append_column(pa.field("status", pa.string(), nullable=False), pa.repeat(Status.OK.value, n))
    for name in ("reason", "detail"):
        table = table.append_column(name, pa.nulls(n, pa.string()))
    return table
