"""What is read from a stranger's pickle, and what is refused before it can do anything."""

import collections
import datetime
import decimal
import io
import os
import pathlib
import pickle
import uuid
import zipfile

import numpy as np
import pytest
import torch

from model.originals.clips import read_clips
from model.originals.pickles import LegacyError, read_pickle
from tests.model.hostile_pickles import HOSTILE, Asks

CLIP = {"2d": np.ones(4, np.float32), "3d": np.ones(6), "audio": torch.zeros(40, 7), "id": "v_0"}


def write(tmp_path, *things, protocol=4):
    path = tmp_path / "clips.pkl"
    path.write_bytes(pickle.dumps(list(things), protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_tensors_and_numbers_of_numpy_are_read_as_they_were(tmp_path, protocol):
    columns = np.asfortranarray(np.arange(280.0).reshape(40, 7))
    written = {"audio": columns, "2d": np.arange(3, dtype=">f4"), "3d": torch.arange(8.0)[::2], "id": np.str_("v")}
    times = {"start": np.float64(1.5), "end": np.int64(3), "seen": {1, 2}, "raw": b"x", "more": bytearray(b"yz")}
    (clip,) = read_pickle(write(tmp_path, written | times, protocol=protocol))
    np.testing.assert_array_equal(clip["audio"], columns)
    np.testing.assert_array_equal(clip["2d"], [0, 1, 2])
    np.testing.assert_array_equal(clip["3d"], [0, 2, 4, 6])
    assert {name: clip[name] for name in ("id", *times)} == {"id": "v", **times}


@pytest.mark.parametrize("hold", [np.array, lambda value: torch.tensor([value])])
def test_times_may_be_arrays_and_tensors_of_one_number(tmp_path, hold):
    (clip,) = read_pickle(write(tmp_path, CLIP | {"start": hold(1.5), "end": hold(3.0)}))
    assert (clip["start"], clip["end"]) == (1.5, 3.0)


def test_a_clip_may_have_no_times_captions_in_an_array_and_sound_in_a_parameter(tmp_path):
    more = {
        "start": None,
        "end": None,
        "caption": np.array(["a", None], object),
        "audio": torch.nn.Parameter(CLIP["audio"]),
    }
    (clip,) = read_pickle(write(tmp_path, CLIP | more))
    assert not {"start", "end"} & clip.keys() and clip["audio"].shape == (40, 7)


@pytest.mark.parametrize("key", ["2d", "audio"])
def test_an_array_of_anything_is_no_array_of_numbers(tmp_path, key):
    with pytest.raises(LegacyError):
        read_clips(write(tmp_path, CLIP | {key: np.ones((40, 7)).astype(object)}))


@pytest.mark.parametrize("thing", HOSTILE.values(), ids=HOSTILE)
def test_what_would_make_numpy_or_torch_read_elsewhere_is_refused(tmp_path, thing):
    with pytest.raises(LegacyError, match=r"clips\.pkl"):
        read_pickle(write(tmp_path, CLIP | {"2d": thing}))


@pytest.mark.parametrize("hold", [list, tuple, lambda clips: {clip.pop("id"): clip for clip in clips}])
@pytest.mark.parametrize("protocol", [2, 5])
def test_clips_in_a_list_a_tuple_or_a_dict_by_id_are_read(tmp_path, hold, protocol):
    clips = [CLIP | {"id": f"v_{i}"} for i in range(3)]
    (tmp_path / "clips.pkl").write_bytes(pickle.dumps(hold(clips), protocol))
    assert [clip["id"] for clip in read_pickle(tmp_path / "clips.pkl")] == ["v_0", "v_1", "v_2"]


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_list_of_torch_save_is_read(tmp_path, is_zip):
    both = torch.arange(80.0).reshape(2, 40)  # two tensors over one storage
    clip = CLIP | {"2d": both[1, :4], "3d": both[0, ::2], "audio": torch.zeros(40, 7, dtype=torch.bfloat16)}
    torch.save([clip, CLIP], tmp_path / "clips.pt", _use_new_zipfile_serialization=is_zip)
    read, other = read_pickle(tmp_path / "clips.pt")
    np.testing.assert_array_equal(read["2d"], [40, 41, 42, 43])
    np.testing.assert_array_equal(read["3d"], np.arange(0, 40, 2))
    assert read["audio"].shape == (40, 7) and other["id"] == "v_0"


MORE = {
    "when": datetime.datetime(2021, 1, 2, tzinfo=datetime.UTC),
    "length": datetime.timedelta(seconds=3),
    "price": decimal.Decimal("1.5"),
    "key": uuid.UUID(int=7),
    "file": pathlib.PurePosixPath("a/b"),
    "counts": collections.Counter("abc"),
    "lists": collections.defaultdict(list, {"a": [1]}),
    "ordered": collections.OrderedDict(a=1),
    "recent": collections.deque([1, 2]),
    "wave": 1 + 2j,
    "steps": range(3),
    "kinds": frozenset({1}),
    "day": np.datetime64("2021-01-02"),
    "days": np.array(["2021-01-02"], "M8[D]"),
    "shape": torch.zeros(2, 3).shape,
    "flag": np.bool_(True),
    7: "a key that is no text",
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_else_a_clip_carries_of_harmless_types_does_not_matter(tmp_path, protocol):
    (clip,) = read_pickle(write(tmp_path, CLIP | MORE, protocol=protocol))
    np.testing.assert_array_equal(clip["3d"], np.ones(6))


def test_a_value_in_a_value_without_end_is_refused_before_it_is_hashed(tmp_path):
    pair: tuple = ("x",)
    for _ in range(60):
        pair = (pair, pair)
    for held in ({"seen": [pair]}, {"a": Asks(set, [pair])}):
        with pytest.raises(LegacyError, match="made to take time"):
            read_pickle(write(tmp_path, CLIP | held))
    content = pickle.dumps(pair, 2)
    (tmp_path / "clips.pkl").write_bytes(b"\x80\x02}" + content[2:-1] + b"K\x01s.")
    with pytest.raises(LegacyError, match="made to take time"):
        read_pickle(tmp_path / "clips.pkl")


def test_more_than_one_pickle_in_a_file_is_refused(tmp_path):
    (tmp_path / "two.pkl").write_bytes(2 * pickle.dumps([]))
    with pytest.raises(LegacyError, match="more after the end of its pickle"):
        read_pickle(tmp_path / "two.pkl")


def test_reading_ends_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr("model.originals.unpickler.READ_LIMIT_S", 0)
    with pytest.raises(LegacyError, match="reading takes longer than any such file needs"):
        read_pickle(write(tmp_path, CLIP))


def test_a_file_of_torch_that_is_compressed_or_claims_more_than_it_has_is_refused(tmp_path):
    torch.save([CLIP], tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(LegacyError, match="is compressed"):
        read_pickle(tmp_path / "packed.pt")


@pytest.mark.parametrize("num_cut", [1, 20, 1000])
def test_a_file_that_is_cut_off_is_refused(tmp_path, num_cut):
    buffer = io.BytesIO()
    torch.save([CLIP], buffer, _use_new_zipfile_serialization=False)
    (tmp_path / "cut.pt").write_bytes(buffer.getvalue()[:-num_cut])
    with pytest.raises(LegacyError, match=r"cut\.pt"):
        read_pickle(tmp_path / "cut.pt")


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
