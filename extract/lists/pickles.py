"""Pickled lists, as AVLnet published them, read without building any object of their classes."""

import io
import pickle
import struct
from typing import Any

from datasets.pickle_opcodes import UNREADABLE, check_only_pickle


def read_plain_pickle(content: bytes) -> Any:
    """The lists, dicts, texts and numbers of a pickle; whatever else it names stands there as an `Ignored`.

    Raises:
        ValueError: no such pickle.
    """
    try:
        check_only_pickle(io.BytesIO(content))
    except (ValueError, EOFError) as error:
        raise ValueError(str(error)[:200] or "the pickle ends too soon") from error
    except UNREADABLE as error:
        raise ValueError("no pickle") from error
    try:
        return _PlainUnpickler(io.BytesIO(content)).load()
    except UNREADABLE as error:
        raise ValueError("no pickle of lists, dicts, texts and numbers") from error


class Ignored:
    """Stands for every object of a pickle that is no plain value: features, tensors, whatever it names."""

    def __new__(cls, *_: Any, **__: Any) -> "Ignored":
        """Takes whatever the pickle builds it from."""
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> "Ignored":
        """Stands for what the pickle would call."""
        return self


class _NumberType(Ignored):
    """Stands for a numpy dtype: its code, such as f8, is all that is kept."""

    code: Any

    def __new__(cls, code: Any = None, *_: Any, **__: Any) -> "_NumberType":
        number_type = object.__new__(cls)
        number_type.code = code
        return number_type


_NUMBERS = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q"}


def _read_number(number_type: Any, content: Any) -> Any:
    """A number that numpy pickled as its type and its bytes: so times are stored that were computed with it."""
    layout = _NUMBERS.get(str(getattr(number_type, "code", None)))
    is_number = layout is not None and isinstance(content, bytes) and len(content) == struct.calcsize(layout)
    return struct.unpack(layout, content)[0] if layout is not None and is_number else Ignored()


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, texts and numbers; resolves no class, so that nothing of the file is executed."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case ("numpy", "dtype"):
                return _NumberType
            case ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar"):
                return _read_number
        return Ignored

    def persistent_load(self, pid: Any) -> Any:
        return Ignored()
