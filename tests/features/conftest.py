"""Small real media made by ffmpeg, and the reference extractor's way of reading them, written anew."""

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from features.encoders.encoder import Encoder, load_encoder

GOLDEN = Path(__file__).parents[1] / "golden"
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
Make = Callable[..., Path]


def run_ffmpeg(*arguments: str) -> bytes:
    """Run ffmpeg quietly and return what it writes to stdout."""
    command = [FFMPEG, "-v", "error", "-nostdin", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., bytes]:
    """`run_ffmpeg`."""
    return run_ffmpeg


@pytest.fixture(scope="session")
def golden_clip() -> Path:
    """3.4 s, 426x240, 29.97 fps, with sound."""
    return GOLDEN / "features" / "g1_426x240_2997.mp4"


@pytest.fixture(scope="session")
def make_media(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Render a moving test picture with a tone: make(name, size, seconds, *output options, audio=True)."""
    folder = tmp_path_factory.mktemp("media")

    def make(name: str, size: str, seconds: float, *options: str, rate: int = 25, audio: bool = True) -> Path:
        path = folder / name
        if not path.exists():
            sound = ["-f", "lavfi", "-i", f"sine=f=440:r=44100:d={seconds}"] if audio else []
            picture = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds},hue=h=40*t"]
            run_ffmpeg(*picture, *sound, "-threads", "1", *options, str(path))
        return path

    return make


@pytest.fixture(scope="session")
def reference_frames() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Frames of both kinds by the reference's own commands: one ffmpeg process each, sizes from the stored picture."""

    def read(path: Path, size: tuple[int, int], *cut: str) -> tuple[np.ndarray, np.ndarray]:
        width, height = size
        frames = []
        for fps, side, is_cropped in ((1, 224, False), (24, 112, True)):
            wide, high = (side, int(height * side / width)) if height >= width else (int(width * side / height), side)
            chain = f"fps={fps},scale={wide}:{high}"
            if is_cropped:
                chain += f",crop={side}:{side}:{int((wide - side) / 2)}:{int((high - side) / 2)}"
                wide = high = side
            raw = run_ffmpeg(
                *cut, "-i", str(path), "-filter_complex", chain, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"
            )
            frames.append(np.frombuffer(raw, np.uint8).reshape(-1, high, wide, 3))
        return frames[0], frames[1]

    return read


@pytest.fixture(scope="session")
def get_encoder() -> Callable[..., Encoder]:
    """`load_encoder`, each combination loaded once."""
    return functools.cache(load_encoder)
