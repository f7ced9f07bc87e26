"""What is in one of the original's pickles, read without believing it.

A pickle is a program. Here it may build plain values, and name arrays and tensors, which we make ourselves from their
bytes: numpy's own `__setstate__` takes fields and sizes from the file, and reading such an array again reads memory at
an address of the file's choice. torch's sets a tensor of any size.
"""

import io
import mmap
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from datasets.pickle_opcodes import UNREADABLE, check_opcodes

_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUILTIN_MODULES = ("builtins", "__builtin__")
_PLAIN_TYPE = re.compile(r"[<>=|]?([fiub][1248]|[SU]\d{1,6})")


class LegacyError(ValueError):
    """A pickle that is not the original's list of clips, or that asks for more than data."""


class _Sealed:
    """What a pickle may hold and pass on, and not change: BUILD sets the attributes of anything that has no say."""

    def __setstate__(self, _: Any) -> None:
        raise LegacyError("asks to change what it was given: do not trust this file")


class _Maker(_Sealed):
    """A function that a pickle may call."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *values: Any) -> Any:
        return self._make(*values)


class _NumberType(_Sealed):
    """Stands for numpy's dtype of numbers or text."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not (isinstance(code, str) and _PLAIN_TYPE.fullmatch(code)):
            raise LegacyError("asks for a numpy type that is neither numbers nor text: do not trust this file")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        """(version, byte order, ...): nothing more is needed for numbers."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "=", "|"):
            raise LegacyError("a numpy type has no byte order: do not trust this file")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(_Sealed):
    """Stands for an array or a tensor; numpy writes an empty one first and fills it."""

    values: npt.NDArray[Any] = np.empty(0, np.int8)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        match state:
            case (int(), tuple(shape), _NumberType(dtype=dtype), bool(by_column), bytes(content)):
                self.values = np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
            case _:
                raise LegacyError("an array is not its shape, type and bytes: do not trust this file")


class _Storage(_Sealed):
    """Stands for the numbers of a tensor."""

    def __init__(self, content: bytes) -> None:
        # torch's own function for this name reads the bytes as another pickle without restriction.
        if content.startswith(b"PK"):
            raise LegacyError("a tensor inside is a zip file, which may be compressed: do not trust this file")
        self.numbers = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _array_of(values: Any) -> _Array:
    array = _Array()
    array.values = np.asarray(values)
    return array


def _rebuild_tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Array:
    # As a view of what there is: torch's own function makes the storage as long as the file asks.
    numbers = torch.tensor([], dtype=storage.numbers.dtype).set_(storage.numbers)
    tensor = numbers.as_strided(size, stride, offset)
    if tensor.numel() > numbers.numel():
        raise LegacyError(f"a tensor claims the shape {list(tensor.shape)} over less: do not trust this file")
    return _array_of(tensor.numpy())


def _read_scalar(number_type: _NumberType, content: bytes) -> Any:
    return np.frombuffer(content, number_type.dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """The way in which the oldest pickles hold bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise LegacyError("asks for bytes in an encoding that no pickler uses: do not trust this file")
    return text.encode("latin1")


def _bytes_of(kind: type) -> Callable[..., Any]:
    def build(*values: Any) -> Any:
        if values and isinstance(values[0], int):
            raise LegacyError(f"asks for {values[0]} empty bytes: do not trust this file")
        return kind(*values)

    return build


_ADMITTED = {
    ("torch._utils", "_rebuild_tensor_v2"): _Maker(_rebuild_tensor),
    ("torch.storage", "_load_from_bytes"): _Storage,
    ("collections", "OrderedDict"): dict,
    ("numpy", "ndarray"): None,  # only named, as what `_reconstruct` is to make
    ("numpy", "dtype"): _NumberType,
    ("numpy", "frombuffer"): _Maker(lambda content, code: _array_of(np.frombuffer(content, _NumberType(code).dtype))),
    ("_codecs", "encode"): _Maker(_encode),
    **{(module, "_reconstruct"): _Array for module in _ARRAY_MODULES},
    **{(module, "scalar"): _Maker(_read_scalar) for module in _ARRAY_MODULES},
    **{(module, "set"): set for module in _BUILTIN_MODULES},
    **{(module, kind.__name__): _Maker(_bytes_of(kind)) for module in _BUILTIN_MODULES for kind in (bytes, bytearray)},
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
    """The clips of one of the original's pickles, as it holds them, with arrays for tensors.

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
        clip.update({key: value.values for key, value in clip.items() if isinstance(value, _Array)})
        _check_kinds(f"{path}: clip {row}", clip)
    return clips


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
        if key in clip and not _is_seconds(clip[key]):
            raise LegacyError(f"{where}: {key} must be seconds")


def _is_seconds(value: object) -> bool:
    if not isinstance(value, int | float | str):
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
