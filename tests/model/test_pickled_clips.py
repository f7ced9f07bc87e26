"""What is read from a stranger's pickle, and what is refused before it can do anything."""

import os
import pickle

import numpy as np
import pytest
import torch

from model.originals.pickles import LegacyError, read_pickle
from tests.model.hostile_pickles import HOSTILE, Asks

CLIP = {"2d": np.ones(4, np.float32), "3d": np.ones(6), "audio": torch.zeros(40, 7), "id": "v_0"}


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


@pytest.mark.parametrize("thing", HOSTILE.values(), ids=HOSTILE)
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
