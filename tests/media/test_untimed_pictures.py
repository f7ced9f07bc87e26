"""Pictures of which a container tells too little: no times, no times of display, key frames that are none."""

from pathlib import Path

import numpy as np
import pytest

from features.frames import decode_clip
from tests.media.render import X264, ffmpeg, film, grey

X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
# name: codec, by how many ms it is seen late, as ffmpeg shows it
FILES: dict[str, tuple[tuple[object, ...], int]] = {
    "h264.mpg": ((*X264, "-f", "vob"), 0),
    "hevc.mpg": ((*X265, "-f", "vob"), 0),
    "h264.mxf": (X264, 80),
}


@pytest.mark.parametrize("name", FILES)
def test_a_clip_shows_what_the_whole_file_does_at_its_time(name: str, tmp_path: Path) -> None:
    codec, late_ms = FILES[name]
    path, given = tmp_path / name, film(tmp_path / "given.mkv", 6, "-c:v", "ffv1", size=(96, 64))
    ffmpeg("-i", given, *codec, "-g", 75, "-bf", 2, path)
    whole, right = decode_clip(path).frames_3d, decode_clip(given).frames_3d
    first = round(24 * late_ms / 1000)
    assert np.abs(grey(whole[first:144]) - grey(right[: 144 - first])).mean(axis=(1, 2)).mean() < 5
    for start_s in (2, 3, 4):
        rows = slice(24 * start_s, 24 * start_s + 24)
        assert np.array_equal(decode_clip(path, 1000 * start_s, 1000 * start_s + 1000).frames_3d, whole[rows])


def test_an_index_that_calls_all_pictures_key_frames_is_not_believed(tmp_path: Path) -> None:
    path = film(tmp_path / "camera.avi", 4, "-c:v", "msmpeg4", "-g", 100, "-sc_threshold", 10**9, size=(96, 64))
    whole, content = decode_clip(path).frames_3d, bytearray(path.read_bytes())
    for at in range(content.rindex(b"idx1") + 12, len(content) - 3, 16):
        content[at] |= 0x10
    path.write_bytes(content)
    assert np.array_equal(decode_clip(path, 2000, 3000).frames_3d, whole[48:72])
