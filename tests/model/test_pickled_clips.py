"""What is read from a stranger's pickle, and what is refused before it can do anything."""

import os
import pickle

import numpy as np
import pytest
import torch

from model.pickled_clips import LegacyError, read_pickle

CLIP = {"2d": np.ones(4, np.float32), "3d": np.ones(6), "audio": torch.zeros(40, 7), "id": "v_0"}


class Asks:
    """Pickled as a call, and then as a change of what it gave."""

    def __init__(self, function, *arguments, change=None):
        self.reduced = (function, arguments) if change is None else (function, arguments, change)

    def __reduce__(self):
        return self.reduced


def write(tmp_path, *things, protocol=4):
    path = tmp_path / "clips.pkl"
    path.write_bytes(pickle.dumps(list(things), protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_tensors_and_numbers_of_numpy_are_read_as_they_were(tmp_path, protocol):
    columns = np.asfortranarray(np.arange(280.0).reshape(40, 7))
    written = {"audio": columns, "2d": np.arange(3, dtype=">f4"), "3d": torch.arange(8.0)[::2], "id": np.str_("v")}
    times = {"start": np.float64(1.5), "end": np.int64(3), "seen": {1, 2}, "raw": b"x", "more": bytearray(b"yz")}
    (clip,) = read_pickle(write(tmp_path, written | times, protocol=protocol))
    np.testing.assert_array_equal(clip["audio"], columns)
    np.testing.assert_array_equal(clip["2d"], [0, 1, 2])
    np.testing.assert_array_equal(clip["3d"], [0, 2, 4, 6])
    assert {name: clip[name] for name in ("id", *times)} == {"id": "v", **times}


FIELDS = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
"""Says that eight bytes are the address of an object."""
TWO_NUMBERS = [torch.zeros(2)._typed_storage()]


@pytest.mark.parametrize(
    "thing",
    [
        Asks(np.dtype, "V8", False, True, change=FIELDS),
        Asks(np.dtype, "O"),
        Asks(np.dtype, "f8", False, True, change=(0, 1309829123, None, None, -1, -1, 0)),
        Asks(np._core.multiarray._reconstruct, np.ndarray, (0,), b"b", change=(1, (2**40,), "f8", False, b"x" * 8)),
        Asks(np._core.multiarray.scalar, np.dtype("f8"), b"short"),
        Asks(torch._utils._rebuild_tensor_v2, *TWO_NUMBERS, 0, (4,), (1,), False, {}),
        Asks(torch._utils._rebuild_tensor_v2, *TWO_NUMBERS, 0, (10**6,), (0,), False, {}),
        Asks(torch._utils._rebuild_tensor_v2, *TWO_NUMBERS, 0, (2,), (1,), False, {}, change=(1, 2, 3)),
        Asks(torch.storage._load_from_bytes, b"PK\x03\x04"),
    ],
    ids=["fields", "objects", "old state", "array state", "short number", "long", "wide", "changed tensor", "zip"],
)
def test_what_would_make_numpy_or_torch_read_elsewhere_is_refused(tmp_path, thing):
    with pytest.raises(LegacyError, match=r"clips\.pkl"):
        read_pickle(write(tmp_path, CLIP | {"2d": thing}))


def test_a_function_is_called_and_not_changed(tmp_path):
    find = b"c_codecs\nencode\n"
    (tmp_path / "clips.pkl").write_bytes(find + b"}S'a'\nS'changed'\nsb.")
    with pytest.raises(LegacyError, match="asks to change what it was given"):
        read_pickle(tmp_path / "clips.pkl")


def hostile(target):
    return Asks(os.system, f"touch {target}")


def in_storage(target) -> object:
    """Hidden in the second pickle, which torch reads for a tensor's storage."""

    return Asks(torch.storage._load_from_bytes, pickle.dumps(hostile(target), protocol=2))


@pytest.mark.parametrize("hide", [hostile, in_storage], ids=["plain", "in_storage"])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, hide):
    target = tmp_path / "run"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps([hide(target)]))
    with pytest.raises(LegacyError):
        read_pickle(tmp_path / "evil.pkl")
    assert not target.exists()


@pytest.mark.parametrize("name", ["eval", "getattr", "exec", "__import__"])
def test_builtins_that_run_code_are_refused(tmp_path, name):
    (tmp_path / "evil.pkl").write_bytes(f"cbuiltins\n{name}\n(S'1'\ntR.".encode())
    with pytest.raises(LegacyError, match=rf"builtins\.{name}, which is not data"):
        read_pickle(tmp_path / "evil.pkl")


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps({"2d": 1}), pickle.dumps([{"id": 1}])])
def test_what_is_no_list_of_clips_is_refused(tmp_path, content):
    (tmp_path / "bad.pkl").write_bytes(content)
    with pytest.raises(LegacyError, match=r"bad\.pkl"):
        read_pickle(tmp_path / "bad.pkl")
