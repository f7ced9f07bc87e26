"""The original's YouCook2 and YouCook-Japanese pickles: into our tables, and back.

A pickle can run any code when it is read, so this reader admits numpy arrays, torch storages and plain values only.
"""

import io
import mmap
import pickle
from collections import Counter
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from datasets.outcomes import Status
from datasets.pickles import UNREADABLE, check_opcodes
from datasets.schemas import list_of_vectors
from model.avlnet import NUM_MELS
from model.data import ClipSet

_FRAME_MS = 10
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


class LegacyError(ValueError):
    """A pickle that is not the original's list of clips, or that asks for more than data."""


def _load_storage(content: bytes) -> Any:
    # torch's own function for this name reads the bytes as another pickle without restriction.
    if content.startswith(b"PK"):
        raise LegacyError("a tensor inside is a zip file, which may be compressed: do not trust this file")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _rebuild_tensor(storage: Any, offset: int, size: Any, stride: Any, *rest: Any) -> Any:
    tensor = torch._utils._rebuild_tensor_v2(storage, offset, size, stride, *rest)  # type: ignore[no-untyped-call]
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise LegacyError(f"a tensor claims the shape {list(tensor.shape)} over less: do not trust this file")
    return tensor


def _rebuild_array(*_: Any) -> Any:
    """numpy writes an empty array first and fills it; whatever size is asked for here is not what numpy wrote."""
    return np.empty(0, np.int8)


def _bytes_of(kind: type) -> Any:
    def build(*values: Any) -> Any:
        if values and isinstance(values[0], int):
            raise LegacyError(f"asks for {values[0]} empty bytes: do not trust this file")
        return kind(*values)

    return build


_ADMITTED = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("collections", "OrderedDict"): dict,
    ("numpy", "ndarray"): None,  # only named, as what `_reconstruct` is to make
    ("numpy", "dtype"): np.dtype,
    ("numpy", "frombuffer"): np.frombuffer,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
    **{(module, "_reconstruct"): _rebuild_array for module in _ARRAY_MODULES},
    **{(module, "scalar"): np._core.multiarray.scalar for module in _ARRAY_MODULES},  # type: ignore[attr-defined]
    **{("builtins", kind.__name__): kind for kind in (bool, int, float, str, list, tuple, dict, set)},
    **{("builtins", kind.__name__): _bytes_of(kind) for kind in (bytes, bytearray)},
}


class _DataUnpickler(pickle.Unpickler):
    """Looks names up in a closed table instead of importing them."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise LegacyError(
                f"the pickle asks for {module}.{name}, which is not data: do not trust this file"
            ) from None


def read_pickle(path: str | Path) -> list[dict[str, Any]]:
    """The clips of one of the original's pickles, as it holds them.

    Raises:
        LegacyError: the file asks for anything but arrays, tensors and plain values, is damaged, or holds no clips.
    """
    clips = _unpickle(path)
    if not isinstance(clips, list) or not clips or not all(isinstance(clip, dict) for clip in clips):
        raise LegacyError(f"{path} must hold a list of dicts, got {type(clips).__name__}")
    for row, clip in enumerate(clips):
        missing = [key for key in ("2d", "3d", "audio", "id") if key not in clip]
        if missing:
            names = sorted(key for key in clip if isinstance(key, str))
            raise LegacyError(f"{path}: clip {row} lacks {missing}, it has {names}")
        _check_kinds(f"{path}: clip {row}", clip)
    return clips


def _check_kinds(where: str, clip: dict[str, Any]) -> None:
    """What is no array or plain value is not even printed: a list may hold itself a thousand times."""
    for key in ("2d", "3d", "audio"):
        values = clip[key]
        if not isinstance(values, np.ndarray | torch.Tensor) or np.asarray(values).dtype.kind not in "fiu":
            raise LegacyError(f"{where}: {key} must be an array of numbers, got a {type(values).__name__}")
    for key in ("id", "video_id"):
        name = str(clip[key]) if isinstance(clip.get(key), str | int) else ""
        if key in clip and not (0 < len(name) <= 200 and name.isprintable()):
            raise LegacyError(f"{where}: {key} must be a printable text of at most 200 characters")
    for key in ("start", "end"):
        if key in clip and not _is_seconds(clip[key]):
            raise LegacyError(f"{where}: {key} must be seconds")


def _is_seconds(value: object) -> bool:
    if not isinstance(value, int | float | str | np.number):
        return False
    try:
        return 0 <= float(value) < 10**6
    except (ValueError, OverflowError):
        return False


def _unpickle(path: str | Path) -> Any:
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            check_opcodes(content)
            content.seek(0)
            return _DataUnpickler(content).load()
    except LegacyError as error:
        raise LegacyError(f"{path}: {error}") from None
    except UNREADABLE as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise LegacyError(f"{path} is no pickle of clips: {reason}") from None


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
    path = Path(path)
    rows = []
    for i, (clip_id, video_id) in enumerate(zip(clips.clip_ids, clips.video_ids, strict=True)):
        audio = torch.from_numpy(clips.frames(i).T.copy())
        halves = {"2d": clips.video[i, :dim_2d], "3d": clips.video[i, dim_2d:]}
        rows.append({**halves, "audio": audio, "id": clip_id, "video_id": video_id, "caption": "", **_seconds(clip_id)})
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
        _PortablePickler(file, protocol=4).dump(rows)
        file.flush()
    Path(file.name).replace(path)


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
