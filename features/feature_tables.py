"""Encoded clips to rows of the feature tables, column by column from NumPy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datasets.outcomes import MAX_DETAIL_CHARS, Status
from datasets.schemas import list_of_vectors
from features.audio import NUM_MELS, log_mel
from features.encoders.encoder import Encoder
from features.frames.filters import FPS_3D

Float16 = npt.NDArray[np.float16]
Float32 = npt.NDArray[np.float32]
_EPSILON = 1e-12

_DROPPED = frozenset({"picture_missing", "sound_missing"})
"""Reasons that are our rule's, `max_missing_share`; the others are the world's."""


@dataclass(frozen=True)
class Problem:
    """Why a clip has no row of values."""

    reason: str
    detail: str

    @property
    def status(self) -> Status:
        """How the row came out."""
        return Status.DROPPED if self.reason in _DROPPED else Status.FAILED


@dataclass(frozen=True)
class ClipFeatures:
    """One clip after decoding and encoding; a Problem stands for what could not be had."""

    clip_id: str
    video_id: str
    start_ms: int
    rows_2d: Float16 | Problem
    """[T2, D], L2-normalised."""
    rows_3d: Float16 | Problem
    """[T3, D], L2-normalised."""
    num_valid_frames: int
    """Of the last 3D window."""
    mel: Float32 | Problem
    """[T, 40] dB."""
    detail: str | None = None
    """What is worth knowing of a clip that is ok: damaged packets, seconds without picture or sound."""
    rows_sound: Float16 | Problem | None = None
    """[T, D], a row a second; None where no encoder of sound is asked."""


def normalise_rows(features: Float32) -> Float16:
    """Rows divided by their L2 norm (at least 1e-12), then float16, as the reference stores them."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(norms, _EPSILON), np.float32).astype(np.float16)


def pool_rows(rows: Float16) -> Float32:
    """Stored rows [T, D] -> maximum over time, then L2: float32 [D], one half of AVLnet's video input."""
    highest = rows.astype(np.float32).max(axis=0)
    return np.asarray(highest / max(float(np.linalg.norm(highest)), _EPSILON), np.float32)


def spectrogram(waveform: Float32) -> Float32 | Problem:
    """[T, 40] of a waveform, or why there is none."""
    return log_mel(waveform).T if len(waveform) else Problem("no_audio", "the clip has no audio")


def sound_rows(waveform: Float32, encoder: Encoder | None) -> Float16 | Problem | None:
    """[T, D] of a waveform by an encoder of sound, or why there is none."""
    rows = None if encoder is None else encoder.run(waveform).astype(np.float16)
    return Problem("no_audio", "the clip has no audio") if rows is not None and not len(rows) else rows


def build_tables(
    clips: Sequence[ClipFeatures], dims: Mapping[str, int], window_step_3d: int = 16
) -> dict[str, pa.Table]:
    """The feature tables, one row per clip in each.

    Args:
        clips: encoded clips.
        dims: of the encoder of each table that there is beside log_mel and pooled: without features_3d pooled_3d is
            null.
        window_step_3d: frames from one row of features_3d to the next; in the other tables a row is a second.
    """
    tables = {}
    for name, dim in dims.items():
        rows = [getattr(clip, name.replace("features", "rows")) for clip in clips]
        num_frames = window_step_3d if name == "features_3d" else FPS_3D
        starts = [
            None
            if isinstance(row, Problem)
            else [clip.start_ms + number * num_frames * 1000 // FPS_3D for number in range(len(row))]
            for clip, row in zip(clips, rows, strict=True)
        ]
        columns = {
            "values": vectors_column(rows, dim, pa.float16()),
            "row_start_ms": pa.array(starts, pa.list_(pa.int64())),
        }
        if name == "features_3d":
            num_valid = [None if isinstance(clip.rows_3d, Problem) else clip.num_valid_frames for clip in clips]
            columns["num_valid_frames"] = pa.array(num_valid, pa.int32())
        tables[name] = _with_keys(clips, columns, rows)
    mels = [clip.mel for clip in clips]
    lengths = pa.array([None if isinstance(mel, Problem) else len(mel) for mel in mels], pa.int32())
    columns = {"values": vectors_column(mels, NUM_MELS, pa.float32()), "num_frames": lengths}
    tables["log_mel"] = _with_keys(clips, columns, mels)
    tables["pooled"] = _build_pooled(clips, is_3d_needed="features_3d" in dims)
    return tables


def _build_pooled(clips: Sequence[ClipFeatures], is_3d_needed: bool) -> pa.Table:
    needed = [(clip.rows_2d, clip.rows_3d if is_3d_needed else None) for clip in clips]
    problems = [next((rows for rows in pair if isinstance(rows, Problem)), None) for pair in needed]
    columns = {}
    for name, rows in (("pooled_2d", [c.rows_2d for c in clips]), ("pooled_3d", [c.rows_3d for c in clips])):
        pooled = [
            None if problem or isinstance(row, Problem) else pool_rows(row)
            for problem, row in zip(problems, rows, strict=True)
        ]
        columns[name] = pa.array(pooled, pa.list_(pa.float32()))
    return _with_keys(clips, columns, problems)


def vectors_column(values: Sequence[Any], dim: int, value_type: pa.DataType) -> pa.Array:
    """Arrays [T, dim], or Problem for null -> list<fixed_size_list<value_type>[dim]>, without a Python object a row."""
    is_null = np.array([isinstance(value, Problem) for value in values], bool)
    present = [value for value in values if not isinstance(value, Problem)]
    flat = np.concatenate([np.ascontiguousarray(value).reshape(-1) for value in present]) if present else np.zeros(0)
    lengths = np.array([0 if isinstance(value, Problem) else len(value) for value in values], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = flat.astype(value_type.to_pandas_dtype(), copy=False)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, value_type), dim)
    column = pa.ListArray.from_arrays(pa.array(offsets), vectors, mask=pa.array(is_null))
    return column.cast(list_of_vectors(dim, value_type))


def _with_keys(clips: Sequence[ClipFeatures], columns: dict[str, pa.Array], values: Sequence[Any]) -> pa.Table:
    """Keys, the table's own columns, and the outcome that `values` tell (a Problem is a failed row)."""
    problems = [value if isinstance(value, Problem) else None for value in values]
    details = [
        (problem.detail if problem else clip.detail or "")[:MAX_DETAIL_CHARS] or None
        for clip, problem in zip(clips, problems, strict=True)
    ]
    statuses = [problem.status.value if problem else Status.OK.value for problem in problems]
    arrays = {
        "clip_id": pa.array([clip.clip_id for clip in clips], pa.string()),
        "video_id": pa.array([clip.video_id for clip in clips], pa.string()),
        **columns,
        "status": pa.array(statuses, pa.string()),
        "reason": pa.array([problem.reason if problem else None for problem in problems], pa.string()),
        "detail": pa.array(details, pa.string()),
    }
    return pa.table(arrays)
