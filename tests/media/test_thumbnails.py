"""Small pictures for people: of every file the picture that the features see there."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.frames import decode_clip
from features.frames.thumbnails import encode_thumbnail
from tests.media.render import ffmpeg, film, with_sound


def encoded(folder: Path, name: str, *codec: object) -> Path:
    ffmpeg("-i", film(folder / "picture.mp4", 3), *codec, folder / name)
    return folder / name


FILES: dict[str, Callable[[Path], Path]] = {
    "a film": lambda folder: encoded(folder, "film.mkv", "-c:v", "mpeg4", "-q:v", 2),
    "a palette": lambda folder: encoded(folder, "palette.mov", "-c:v", "qtrle", "-pix_fmt", "gray"),
    "an index that calls all pictures key frames": lambda folder: encoded(folder, "index.mov", "-c:v", "rpza"),
    "a still under a song": lambda folder: with_sound(folder / "still.mp4", film(folder / "one.mp4", 0.04), 8),
}


@pytest.mark.parametrize("name", FILES)
def test_a_thumbnail_shows_the_first_picture_of_a_clip(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path)
    found = Image.open(io.BytesIO(encode_thumbnail(path, 2200, 160)))
    right = Image.fromarray(decode_clip(path, 2200, 2900).frames_2d[0]).resize((160, 90))
    assert found.size == (160, 90)
    assert np.abs(np.asarray(found, int) - np.asarray(right, int)).mean() < 8
