"""What a file of pickle.dump or torch.save holds, read without believing it.

A pickle is a program. Here it may build plain values, and name arrays and tensors, which we make ourselves from their
bytes: numpy's own `__setstate__` takes fields and sizes from the file, and reading such an array again reads memory at
an address of the file's choice. torch's sets a tensor of any size.
"""

import io
import mmap
import pickle
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from datasets.pickle_opcodes import UNREADABLE, check_clock, check_only_pickle, check_opcodes

READ_LIMIT_S = 900
"""For one file; the largest of the authors' have a few GB."""
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
_BUILTIN_MODULES = ("builtins", "__builtin__")
_PLAIN_TYPE = re.compile(r"[<>=|]?([fiub][1248]|c(8|16)|[mM]8(\[\w{1,8}\])?|[SU]\d{1,6}|O8)")
_TORCH_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""What torch.save wrote first before version 1.6, and still does within a pickle."""


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


class _Ignored:
    """Stands for a value of a harmless type that nothing here needs: it takes whatever it is given and keeps none."""

    def __init__(self, *_: Any) -> None:
        pass

    __setstate__ = append = extend = __init__

    def __setitem__(self, *_: Any) -> None:
        pass


class _NumberType(_Sealed):
    """Stands for numpy's dtype of numbers, text, dates or plain values; of the last numpy makes nothing from bytes."""

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


class Array(_Sealed):
    """Stands for an array; numpy writes an empty one first and fills it."""

    def __init__(self, *_: Any) -> None:
        self.values: npt.NDArray[Any] = np.empty(0, np.int8)

    def __setstate__(self, state: Any) -> None:
        match state:
            case (int(), tuple(shape), _NumberType(dtype=dtype), bool(by_column), bytes(content)):
                self.values = np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
            case (int(), tuple(), _NumberType(dtype=dtype), bool(), list()) if dtype.hasobject:
                pass  # say captions: nothing of them is needed
            case _:
                raise LegacyError("an array is not its shape, type and bytes: do not trust this file")


class _StorageType(_Sealed):
    """Stands for torch.FloatStorage and its like."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Storage(_Sealed):
    """Stands for the numbers of tensors, which older files hold after all else."""

    def __init__(self, dtype: torch.dtype, num_values: int) -> None:
        self.dtype, self.num_values, self.content = dtype, num_values, bytearray()

    @property
    def num_bytes(self) -> int:
        return self.num_values * self.dtype.itemsize

    def numbers(self) -> torch.Tensor:
        if not len(self.content) == self.num_bytes > 0:
            raise LegacyError(f"a tensor of {self.num_values} numbers has {len(self.content)} bytes: it is cut off")
        return torch.frombuffer(self.content, dtype=self.dtype)


class Tensor(_Sealed):
    """Stands for a view of a storage."""

    def __init__(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> None:
        self.storage, self.view = storage, (size, stride, offset)

    @property
    def values(self) -> npt.NDArray[Any]:
        """The numbers in the tensor's shape."""
        # As a view of what there is: torch's own function makes the storage as long as the file asks.
        numbers = self.storage.numbers()
        tensor = numbers.as_strided(*self.view)
        if tensor.numel() > numbers.numel():
            raise LegacyError(f"a tensor claims the shape {list(tensor.shape)} over less: do not trust this file")
        values: npt.NDArray[Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
        return values


def _array_of(content: bytes, number_type: Any, shape: Any = -1, order: str = "C", *_: Any) -> Array:
    array = Array()
    dtype = number_type if isinstance(number_type, _NumberType) else _NumberType(number_type)
    array.values = np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    return array


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


_STORAGE_TYPES = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip
_HARMLESS = {
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID", "SafeUUID"),
    "pathlib": ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"),
    "pathlib._local": ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"),
    "collections": ("Counter", "deque"),
    "torch": ("Size", "device"),
    "pandas._libs.tslibs.timestamps": ("Timestamp", "_unpickle_timestamp"),
    "pandas._libs.tslibs.timedeltas": ("_timedelta_unpickle",),
    **dict.fromkeys(_BUILTIN_MODULES, ("complex", "range", "xrange", "slice")),
}
"""Types that clips may carry besides; nothing of them is kept."""


class _DataUnpickler(pickle.Unpickler):
    """Looks names up in a closed table instead of importing them."""

    def __init__(self, file: Any, deadline: float, read_storage: Callable[[str], bytes] | None = None) -> None:
        super().__init__(file)
        self._deadline, self._read_storage = deadline, read_storage
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        check_clock(self._deadline)
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _Maker(lambda content: _read_torch_stream(io.BytesIO(content), self._deadline))
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise LegacyError(
                f"the pickle asks for {module}.{name}, which is not data: do not trust this file"
            ) from None

    def persistent_load(self, saved_id: Any) -> Any:
        """A storage; its numbers are elsewhere in the file."""
        match saved_id:
            case ("storage", _StorageType(dtype=dtype), str(key), str(), int(count)) | (
                "storage", _StorageType(dtype=dtype), str(key), str(), int(count), None
            ):  # fmt: skip
                if key not in self.storages:
                    self.storages[key] = storage = _Storage(dtype, count)
                    storage.content = bytearray(self._read_storage(key) if self._read_storage else b"")
                return self.storages[key]
        raise LegacyError("asks for something outside of it that is no tensor's numbers: do not trust this file")


_ADMITTED = {
    **{("torch._utils", name): Tensor for name in ("_rebuild_tensor", "_rebuild_tensor_v2")},
    ("torch._utils", "_rebuild_parameter"): _Maker(lambda tensor, *_: tensor),
    **{("torch", f"{name}Storage"): _StorageType(dtype) for name, dtype in _STORAGE_TYPES.items()},
    ("collections", "OrderedDict"): dict,
    ("collections", "defaultdict"): _Maker(lambda *_: {}),
    ("numpy", "ndarray"): None,  # only named, as what `_reconstruct` is to make
    ("numpy", "dtype"): _NumberType,
    ("numpy", "frombuffer"): _Maker(_array_of),
    ("_codecs", "encode"): _Maker(_encode),
    **{(module, "_frombuffer"): _Maker(_array_of) for module in _NUMERIC_MODULES},
    **{(module, "_reconstruct"): Array for module in _ARRAY_MODULES},
    **{
        (module, "scalar"): _Maker(lambda kind, content: np.frombuffer(content, kind.dtype)[0].item())
        for module in _ARRAY_MODULES
    },
    **{(module, kind.__name__): kind for module in _BUILTIN_MODULES for kind in (set, frozenset)},
    **{(module, name): None for module in _BUILTIN_MODULES for name in ("list", "dict", "int", "float", "str")},
    **{(module, kind.__name__): _Maker(_bytes_of(kind)) for module in _BUILTIN_MODULES for kind in (bytes, bytearray)},
    **{(module, name): _Ignored for module, names in _HARMLESS.items() for name in names},
}


def read_data(path: str | Path) -> Any:
    """Plain values, with `Array` and `Tensor` for arrays and tensors, whose `values` are numpy's.

    Raises:
        LegacyError: no such file, or one that asks for anything but arrays, tensors and plain values, is damaged, or is
            not read within READ_LIMIT_S.
    """
    deadline = time.monotonic() + READ_LIMIT_S
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[:4] == b"PK\x03\x04":
                return _read_torch_zip(file, len(content), deadline)
            if content[: len(_TORCH_MAGIC)] == _TORCH_MAGIC:
                return _read_torch_stream(content, deadline)
            check_only_pickle(content, deadline)
            content.seek(0)
            return _DataUnpickler(content, deadline).load()
    except LegacyError as error:
        raise LegacyError(f"{path}: {error}") from None
    except OSError as error:
        raise LegacyError(f"cannot read {path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, *UNREADABLE) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise LegacyError(f"{path} is no pickle of clips: {reason}") from None


def _read_torch_stream(content: Any, deadline: float) -> Any:
    """torch.save before 1.6: a magic number, a version, the writer's system, the object, the storages' keys; then each
    storage's count and numbers."""
    if content.read(len(_TORCH_MAGIC)) != _TORCH_MAGIC:
        raise LegacyError("a tensor inside is not in torch's own format: do not trust this file")
    for _ in range(2):
        check_opcodes(content, deadline)
    start = content.tell()
    for _ in range(2):
        check_opcodes(content, deadline)
    content.seek(start)
    reader = _DataUnpickler(content, deadline)
    data, keys = reader.load(), _DataUnpickler(content, deadline).load()
    for key in keys:
        storage = reader.storages[key]
        if int.from_bytes(content.read(8), "little") != storage.num_values:
            raise LegacyError("a tensor has another size than it says: the file is damaged")
        storage.content = bytearray(content.read(storage.num_bytes))
    return data


def _read_torch_zip(file: Any, num_bytes: int, deadline: float) -> Any:
    """torch.save since 1.6: data.pkl, and a file for each storage."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise LegacyError("is compressed, which no file of torch is: do not trust this file")
        if sum(entry.file_size for entry in entries) > num_bytes:
            raise LegacyError("claims more bytes than it has: do not trust this file")
        (name,) = (entry.filename for entry in entries if entry.filename.endswith("/data.pkl"))
        folder = name.removesuffix("data.pkl")
        pickled = io.BytesIO(archive.read(name))
        check_opcodes(pickled, deadline)
        pickled.seek(0)
        return _DataUnpickler(pickled, deadline, lambda key: archive.read(f"{folder}data/{key}")).load()
