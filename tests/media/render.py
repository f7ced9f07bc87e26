"""Small media rendered by ffmpeg, and ffmpeg's own reading of them: the truth that the suite compares with."""

import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SIDE = 48
"""Pictures of different sizes are compared as grey ones of SIDE x SIDE."""


def ffmpeg(*arguments: object, data: bytes | None = None) -> bytes:
    """Run ffmpeg and return what it writes to stdout."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-500:]
    return done.stdout


def film(
    path: Path,
    seconds: float,
    *out: object,
    size: tuple[int, int] = (160, 90),
    rate: Fraction | int = 25,
    hold: int = 1,
    first: int = 0,
) -> Path:
    """Silent pictures: a slope to the right, a bright corner at the top left, and a band whose grey counts pictures.

    Args:
        path: of the file; its ending chooses the container.
        seconds: how long.
        out: arguments of ffmpeg in place of `X264`.
        size: width and height.
        rate: pictures a second.
        hold: pictures for which the count stays.
        first: the count of the first picture.
    """
    width, height = size
    counts = 16 + 37 * (first + np.arange(max(1, round(seconds * rate))) // hold) % 220
    pictures = np.empty((len(counts), height, width), np.uint8)
    pictures[:] = np.linspace(40, 200, width)
    pictures[:, : height // 4, : width // 4] = 250
    pictures[:, height // 3 : 2 * height // 3] = counts[:, None, None]
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", rate, "-i", "-")
    ffmpeg(*source, *(out or (*X264, "-g", 25)), path, data=pictures.tobytes())
    return path


def with_sound(path: Path, picture: Path, seconds: float, *codec: object) -> Path:
    """The pictures of a file, not encoded anew, under a tone."""
    tone = ("-f", "lavfi", "-i", f"sine=f=440:d={seconds}", "-map", "0:v", "-map", "1:a", "-c:v", "copy")
    ffmpeg("-i", picture, *tone, *codec, path)
    return path


def joined(path: Path, pieces: list[Path]) -> Path:
    """One stream of H.264 from several, one after another, each with the timestamps that it has."""
    data = [ffmpeg("-i", piece, "-c", "copy", "-copyts", "-muxdelay", 0, "-f", "mpegts", "-") for piece in pieces]
    stream = path.with_suffix(".joined.ts")
    stream.write_bytes(b"".join(data))
    ffmpeg("-i", stream, "-c", "copy", path)
    return path


def with_box(source: Path, target: Path, parents: tuple[bytes, ...], box: bytes) -> Path:
    """A copy of an mp4 whose header is its last box, with one more box at the end of the first one of these parents.

    Args:
        source: the mp4.
        target: the copy.
        parents: kinds of boxes, each in the one before it.
        box: whole, its length and kind too.
    """
    content = bytearray(source.read_bytes())
    position, end = 0, len(content)
    opened = []
    for parent in parents:
        while content[position + 4 : position + 8] != parent:
            position += int.from_bytes(content[position : position + 4])
            assert position < end, f"no box {parent!r}"
        opened.append(position)
        end = position + int.from_bytes(content[position : position + 4])
        position += 16 if parent == b"stsd" else 8
    content[end:end] = box
    for start in opened:
        content[start : start + 4] = (int.from_bytes(content[start : start + 4]) + len(box)).to_bytes(4)
    target.write_bytes(content)
    return target


def cropped(source: Path, target: Path, size: tuple[int, int], off: tuple[int, int]) -> Path:
    """A copy of an mp4 of H.264 that says which part of the picture is to be seen: its size, its centre's distance."""
    box = struct.pack(">I4s8i", 40, b"clap", size[0], 1, size[1], 1, off[0], 1, off[1], 1)
    return with_box(source, target, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"), box)


def reference_rows(
    path: Path, size: tuple[int, int], cut: tuple[int, int] | None, stream: str = "0:v:0"
) -> list[UInt8]:
    """2D and 3D frames by the reference extractor's own filters, for pictures displayed at `size`."""
    cut_flags = () if cut is None else ("-ss", cut[0] / 1000, "-t", (cut[1] - cut[0]) / 1000)
    width, height = size
    frames = []
    for fps, side in ((1, 224), (24, 112)):
        wide, high = (side, int(height * side / width)) if height >= width else (int(width * side / height), side)
        chain = f"[{stream}]fps={fps},scale={wide}:{high}"
        if fps == 24:
            chain += f",crop=112:112:{int((wide - 112) / 2)}:{int((high - 112) / 2)}"
            wide = high = 112
        raw = ffmpeg(*cut_flags, "-i", path, "-filter_complex", chain, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        frames.append(np.frombuffer(raw, np.uint8).reshape(-1, high, wide, 3))
    return frames


def grey(frames: UInt8) -> npt.NDArray[np.float64]:
    """[T, SIDE, SIDE] of RGB frames of any size: each cell the mean of what it covers."""
    rows, columns = (np.arange(SIDE) * size // SIDE for size in frames.shape[1:3])
    luma = frames.mean(axis=3)
    cells = np.add.reduceat(np.add.reduceat(luma, rows, axis=1), columns, axis=2)
    area = np.outer(np.diff([*rows, frames.shape[1]]), np.diff([*columns, frames.shape[2]]))
    return np.asarray(cells / area)
