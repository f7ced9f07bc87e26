"""Checkpoints and the original's pickles: files of tensors that somebody else wrote."""

import collections
import datetime
import io
import pickle
import zipfile
from functools import cache

import numpy as np
import torch
from hypothesis import strategies as st

from model.avlnet import AVLNet
from model.checkpoints import CheckpointError, load_avlnet
from model.originals.clips import read_clips, tables_of_clips
from model.originals.pickles import LegacyError
from tests.fuzz.inputs import LEAVES, Content, mutated, twisted
from tests.fuzz.targets import Target, put
from tests.model.hostile_pickles import HOSTILE


@cache
def small_state() -> dict[str, torch.Tensor]:
    return AVLNet(2, 4, (1, 1, 1, 1, 1)).state_dict()


def saved(value: object, is_zip: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=is_zip)
    return Content(buffer.getvalue())


TENSORS = st.sampled_from(
    [
        torch.zeros(3),
        torch.zeros(()),
        torch.zeros(2, 0),
        torch.zeros(1, 2).expand(8, 2),
        torch.zeros(4, 2, dtype=torch.int64),
        torch.zeros(4, 2).to_sparse(),
        "x",
        None,
    ]
)


@st.composite
def checkpoints(draw) -> bytes:
    """Bytes of a checkpoint damaged after saving, or with one entry of another kind."""
    is_zip = draw(st.booleans())
    if draw(st.booleans()):
        return draw(mutated(valid_checkpoint(is_zip)))
    state = dict(small_state())
    key = draw(st.sampled_from([*sorted(state), "GU_video.fc.weight", "DAVEnet.conv1.weight"]))
    changed = draw(TENSORS)
    state |= {key: changed} if draw(st.booleans()) else {draw(LEAVES): changed}
    if draw(st.integers(0, 4)) == 0:
        del state[key]
    content = saved(state if draw(st.integers(0, 9)) else [state], is_zip)
    return deflated(content) if is_zip and draw(st.integers(0, 9)) == 0 else content


def deflated(content: bytes) -> Content:
    """The same archive, compressed."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as plain, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    return Content(written.getvalue())


@cache
def valid_checkpoint(is_zip: bool) -> bytes:
    return saved(small_state(), is_zip)


def wrong_checkpoints() -> tuple[bytes, ...]:
    """One of each kind that the drawn ones may miss: without its head, no layer, no floats, not finite."""
    head, bias = "GU_video.fc.weight", "GU_video.fc.bias"
    state, size = small_state(), small_state()[bias].shape
    without = {key: value for key, value in state.items() if key != head}
    wrong = ({head: torch.zeros(3)}, {bias: torch.zeros(size, dtype=torch.int64)}, {bias: torch.full(size, torch.nan)})
    return (saved(without), *(saved(state | changed) for changed in wrong))


def read_checkpoint(content: bytes) -> None:
    load_avlnet(put("model.pth", content), video_dim=4)


def clip(number: int) -> dict:
    arrays = {"2d": np.ones(4, np.float32), "3d": np.ones(6, np.float64), "audio": torch.zeros(40, 7)}
    times = {"video_id": f"v{number}", "start": 1.5, "end": 2.5} if number else {}
    return {**arrays, "id": f"v{number}_0", "caption": "x", **times}


@st.composite
def pickles(draw) -> bytes:
    """Bytes of a pickle damaged after writing, or with a value of another kind."""
    form = draw(st.sampled_from(FORMS))
    if draw(st.integers(0, 19)) == 0:
        return draw(st.sampled_from([Content(b"\x80\x02]r\xff\xff\xff\xff."), Content(pickle.dumps(nested(), 2))]))
    if draw(st.booleans()):
        return draw(mutated(valid_pickle(form)))
    clips = [clip(0), clip(draw(st.sampled_from([0, 1, 1])))]
    wrong = [np.ones(3), np.array(["x"]), np.full(4, 1e300), torch.zeros(41, 2), torch.zeros(1, 1).expand(40, 10**6)]
    match draw(st.sampled_from(["hostile", "wrong", "twisted"])):
        case "hostile":
            clips[1]["2d"] = draw(st.sampled_from(list(HOSTILE.values())))
        case "wrong":
            clips[1][draw(st.sampled_from(["2d", "3d", "audio"]))] = draw(st.sampled_from(wrong))
        case _:
            clips[1] = draw(twisted(clips[1]))
    content = written(clips, form)
    return deflated(content) if form == "zip" and draw(st.integers(0, 4)) == 0 else content


FORMS = (2, 4, 5, "zip", "stream")
"""Protocols of pickle.dump, and torch.save's two formats."""


def written(value: object, form: int | str) -> Content:
    return Content(pickle.dumps(value, form)) if isinstance(form, int) else saved(value, form == "zip")


def nested() -> list:
    """A tuple that is hashed for as long as one likes."""
    pair: tuple = ("x",)
    for _ in range(60):
        pair = (pair, pair)
    return [{"id": "v", "more": pair}]


@cache
def valid_pickle(form: int | str) -> bytes:
    """Two clips in one of the `FORMS`; one of them carries a little more."""
    more = {"when": datetime.date(2021, 1, 2), "recent": collections.deque([1]), "kinds": {1}, "raw": b"x"}
    more |= {"captions": np.array(["x", None], object), "turned": np.asfortranarray(np.ones((2, 3)))}
    more |= {"weight": torch.nn.Parameter(torch.ones(2)), "bytes": bytearray(b"x")}
    return written([clip(0) | more, clip(1)], form)


def read_legacy(content: bytes) -> None:
    tables = tables_of_clips(read_clips(put("clips.pkl", content)), "train")
    assert tables["splits"].num_rows == 2


MODEL_TARGETS: dict[str, Target] = {
    "checkpoint": Target(
        checkpoints(),
        read_checkpoint,
        (CheckpointError,),
        ("model/checkpoints.py:read_whole,load_avlnet,_sizes,_check_state,_few",),
        wrong_checkpoints(),
    ),
    "pickle": Target(
        pickles(),
        read_legacy,
        (LegacyError,),
        (
            "model/originals/clips.py:read_clips,name_apart,tables_of_clips,_named,_float32",
            "model/originals/pickles.py",
            "model/originals/unpickler.py",
            "datasets/pickle_opcodes.py",
        ),
    ),
}
