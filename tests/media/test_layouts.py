"""Sound whose channels lie in an order of their own: PyAV would free its list twice, which ends the process."""

import struct
from pathlib import Path

import numpy as np
import pytest

from datasets.outcomes import MediaError
from extract.sound import read_audio
from features.frames.sound import read_waveform
from tests.media.render import ffmpeg

SEVEN = ("-filter_complex", "sine=d=2:f=440,asplit=8" + "".join(f"[{i}]" for i in "abcdefgh") + ";"
         + ";".join(f"[{i}]volume={1 + n}/10[{i}{i}]" for n, i in enumerate("abcdefgh")) + ";"
         + "".join(f"[{i}{i}]" for i in "abcdefgh") + "join=inputs=8:channel_layout=7.1", "-c:a")  # fmt: skip


@pytest.mark.parametrize("name", ["seven.caf", "seven.mov"])
def test_sides_before_backs_are_heard_as_backs_before_sides(tmp_path: Path, name: str) -> None:
    for path, codec in ((tmp_path / name, "pcm_s16be"), (tmp_path / "seven.wav", "pcm_s16le")):
        ffmpeg(*SEVEN, codec, path)
    for _ in range(3):
        assert np.array_equal(read_audio(tmp_path / name), read_audio(tmp_path / "seven.wav"))
        assert np.array_equal(read_waveform(tmp_path / name), read_waveform(tmp_path / "seven.wav"))


@pytest.mark.parametrize(
    ("labels", "told"), [([3, 1, 2], r"FC\+FL\+FR"), ([2, 1], r"FR\+FL"), ([1, 1], r"FL\+FL"), ([200, 3], "UNK")]
)
def test_an_order_that_no_usual_one_tells_is_refused_by_its_name(tmp_path: Path, labels: list[int], told: str) -> None:
    size, sound = 2 * len(labels), bytes(2 * len(labels) * 16000)
    format_of = struct.pack(">d4sIIIII", 16000, b"lpcm", 0, size, 1, len(labels), 16)
    order = struct.pack(">III", 0, 0, len(labels)) + b"".join(struct.pack(">II12x", label, 0) for label in labels)
    chunks = {b"desc": format_of, b"chan": order, b"data": bytes(4) + sound}
    path = tmp_path / "own.caf"
    path.write_bytes(b"caff\0\1\0\0" + b"".join(kind + struct.pack(">Q", len(c)) + c for kind, c in chunks.items()))
    for _ in range(3):
        with pytest.raises(MediaError, match=f"decode_failed: the order of its channels, .*{told}.*, is not read"):
            read_audio(path)
