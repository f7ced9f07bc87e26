"""The clips in one of the original's pickles, as it holds them, whatever holds them and whatever else they carry."""

from pathlib import Path
from typing import Any

import numpy as np

from datasets.pickle_opcodes import UNREADABLE
from model.originals.unpickler import Array, LegacyError, Tensor, read_data

__all__ = ["KEYS", "LegacyError", "read_pickle"]
KEYS = ("2d", "3d", "audio", "id", "video_id", "start", "end")
"""What is read of a clip; MSR-VTT's `2d_pooled` and `3d_pooled` are taken for the first two."""


def read_pickle(path: str | Path) -> list[dict[str, Any]]:
    """The clips of a file of pickle.dump or torch.save, each a dict with `KEYS` (the last three where it has them), of
    which arrays and tensors are numpy's; what else a clip carries is there and not looked at.

    Args:
        path: holds a list or tuple of dicts, or a dict of them by id. Arrays may be numpy's or torch's.

    Raises:
        LegacyError: the file asks for anything but data, is damaged, or holds no clips.
    """
    held = read_data(path)
    if isinstance(held, dict) and all(isinstance(clip, dict) for clip in held.values()):
        held = [{"id": name, **clip} for name, clip in held.items()]
    if not isinstance(held, list | tuple) or not held or not all(isinstance(clip, dict) for clip in held):
        raise LegacyError(f"{path} must hold a list of dicts, got {type(held).__name__}")
    return [_read_clip(f"{path}: clip {row}", clip) for row, clip in enumerate(held)]


def _read_clip(where: str, held: dict[Any, Any]) -> dict[str, Any]:
    pooled = {family: held[f"{family}_pooled"] for family in ("2d", "3d") if f"{family}_pooled" in held}
    clip = {**held, **pooled}
    missing = [key for key in KEYS[:4] if key not in clip]
    if missing:
        raise LegacyError(f"{where} lacks {missing}, it has {sorted(key for key in held if isinstance(key, str))}")
    try:
        clip.update({key: clip[key].values for key in KEYS if isinstance(clip.get(key), Array | Tensor)})
    except LegacyError as error:
        raise LegacyError(f"{where}: {error}") from None
    except UNREADABLE as error:
        raise LegacyError(f"{where}: a tensor that is none: {str(error)[:200]}") from None
    for key in KEYS[3:]:  # a number or name as an array or tensor of one
        if isinstance(clip.get(key), np.ndarray) and clip[key].size == 1:
            clip[key] = clip[key].item()
    for key in KEYS[5:]:
        if clip.get(key, 0) is None:
            del clip[key]
    _check_kinds(where, clip)
    return clip


def _check_kinds(where: str, clip: dict[str, Any]) -> None:
    """What is no array or plain value is not even printed: a list may hold itself a thousand times."""
    for key in ("2d", "3d", "audio"):
        values = clip[key]
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
            raise LegacyError(f"{where}: {key} must be an array of numbers, got a {type(values).__name__}")
    for key in ("id", "video_id"):
        name = str(clip[key]) if isinstance(clip.get(key), str | int) else ""
        if key in clip and not (0 < len(name) <= 200 and name.isprintable()):
            raise LegacyError(f"{where}: {key} must be a printable text of at most 200 characters")
    for key in ("start", "end"):
        seconds = clip.get(key, 0)
        try:
            is_time = isinstance(seconds, int | float | str) and 0 <= float(seconds) < 10**6
        except (ValueError, OverflowError):
            is_time = False
        if not is_time:
            raise LegacyError(f"{where}: {key} must be seconds")
