"""Small files that ask for gigabytes are refused before the memory is filled."""

import json
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.datasets.test_tampers import reseal
from tests.fuzz.model_targets import saved, small_state
from tests.fuzz.targets import small_release

TOP = Path(__file__).parents[2]
BOUND_MB = 300


def memo_bomb(path: Path) -> None:
    """Place 2^29 of the memo: 4 GB and more in Python's own unpickler."""
    path.write_bytes(b"\x80\x02]r" + struct.pack("<I", 2**29) + b".")


def nested_lists(path: Path) -> None:
    """Ten references to ten references ..., 40 levels deep, where a video id should be."""
    value: list = ["x"]
    for _ in range(40):
        value = [value] * 10
    path.write_bytes(pickle.dumps([{"video_id": value, "id": value, "2d": value, "3d": value, "audio": value}]))


def empty_bytes(path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return bytearray, (3 << 30,)

    path.write_bytes(pickle.dumps([{"2d": Bomb()}]))


def wide_tensor(path: Path) -> None:
    """One number that claims to be 4 GB of frames."""
    arrays = {"2d": torch.zeros(4), "3d": torch.zeros(4), "audio": torch.zeros(1, 1).expand(40, 25_000_000)}
    path.write_bytes(pickle.dumps([{**arrays, "id": "a"}]))


def compressed_checkpoint(path: Path) -> None:
    """torch's own zip, its tensor's bytes replaced by 3 GB of deflated zeros."""
    state = {**small_state(), "GU_video.fc.weight": torch.zeros(2, 4)}
    path.with_suffix(".plain").write_bytes(saved(state))
    with zipfile.ZipFile(path.with_suffix(".plain")) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in plain.namelist():
            if name.endswith("data/0"):
                with bomb.open(name, "w", force_zip64=True) as file:
                    for _ in range(3 << 5):
                        file.write(bytes(32 << 20))
            else:
                bomb.writestr(name, plain.read(name))


def wide_picture(path: Path) -> None:
    """A PNG of 60,000 x 60,000 white points: 10 GB as RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def lying_shard(path: Path) -> None:
    """A release whose first shard is a run of one text, 100 million rows in a few kilobytes."""
    for name, content in small_release().items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    shard = json.loads((path / "manifest.json").read_text())["files"][0]["path"]
    rows = pa.table({"clip_id": pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), 10**8), ["x" * 40])})
    pq.write_table(rows, path / shard, row_group_size=10**8)
    assert (path / shard).stat().st_size < 1 << 20
    reseal(path)


def shared_text(path: Path) -> None:
    """A release with one text of a megabyte that four thousand rows of a shard point to."""
    for name, content in small_release().items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    shard = json.loads((path / "manifest.json").read_text())["files"][0]["path"]
    rows = pa.table(
        {"clip_id": pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), 4000), ["x" * 10**6])}
    )
    pq.write_table(rows, path / shard, compression="zstd")
    assert (path / shard).stat().st_size < 1 << 20
    reseal(path)


def long_table(path: Path) -> None:
    """A list with a hundred million times the same clip."""
    table = {"video_id": "abcdefghijk", "start": "1", "end": "2"}
    one = {
        name: pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), 10**8), [x])
        for name, x in table.items()
    }
    pq.write_table(pa.table(one), path, row_group_size=10**8)


BOMBS = {
    "memo.pkl": ("clip list", memo_bomb, "made to fill memory"),
    "lists.pkl": ("clip list", nested_lists, "ClipListError"),
    "memo of the original's": ("legacy", memo_bomb, "made to fill memory"),
    "lists of the original's": ("legacy", nested_lists, "made to take time"),
    "empty bytes": ("legacy", empty_bytes, "do not trust"),
    "wide tensor": ("legacy", wide_tensor, "do not trust"),
    "compressed.pth": ("checkpoint", compressed_checkpoint, "is compressed"),
    "wide.png": ("image", wide_picture, "decode_failed"),
    "release": ("release", lying_shard, "no shard of a release"),
    "release of one text": ("release", shared_text, "no shard of a release"),
    "list.parquet": ("clip list", long_table, "made to fill memory"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_below_a_bound_of_memory(name, tmp_path):
    kind, write, message = BOMBS[name]
    write(tmp_path / name)
    command = [sys.executable, "-m", "tests.fuzz.bombs", kind, str(tmp_path / name)]
    found = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=120, check=True)
    num_mb, _, outcome = found.stdout.strip().partition(" ")
    assert message in outcome, outcome[:500]
    assert int(num_mb) < BOUND_MB
