"""The header of an mp4 file: what ffmpeg says of it, or nothing."""

import random
import subprocess
from pathlib import Path

import pytest

from extract.media import ffmpeg_path, probe_media
from extract.mp4 import IncompleteMediaError, list_boxes, read_header

PICTURE = ["-f", "lavfi", "-i", "testsrc=s=320x240:r=30000/1001:d=2"]
SOUND = ["-f", "lavfi", "-i", "sine=d=2"]
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]


def encode(path: Path, *arguments: str) -> Path:
    subprocess.run([ffmpeg_path(), "-v", "error", "-nostdin", *arguments, str(path)], check=True, timeout=60)
    return path


@pytest.mark.parametrize(
    "options",
    [
        [*X264, "-c:a", "aac"],
        [*X264, "-c:a", "aac", "-movflags", "+faststart", "-video_track_timescale", "90000"],
        [*X264, "-c:a", "libopus"],
        ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "aac", "-s", "180x320"],
    ],
)
def test_header_says_what_ffmpeg_says(options: list[str], tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", *PICTURE, *SOUND, *options)
    found, expected = read_header(path, list_boxes(path)), probe_media(path)
    assert found is not None
    assert abs(found.duration_ms - expected.duration_ms) <= 50
    others = ("width", "height", "fps", "video_codec", "audio_codec")
    assert [getattr(found, name) for name in others] == [getattr(expected, name) for name in others]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fragments.mp4", [*PICTURE, *SOUND, *X264, "-movflags", "frag_keyframe+empty_moov"]),
        ("mp3.mp4", [*PICTURE, *SOUND, *X264, "-c:a", "libmp3lame"]),
        ("mute.mp4", [*PICTURE, *X264]),
        ("sound.mp4", SOUND),
        ("mpeg4.mp4", [*PICTURE, *SOUND, "-c:v", "mpeg4"]),
        ("other.mkv", [*PICTURE, *SOUND, *X264]),
    ],
)
def test_what_it_does_not_know_it_leaves_to_ffmpeg(name: str, options: list[str], tmp_path: Path) -> None:
    path = encode(tmp_path / name, *options)
    assert read_header(path, list_boxes(path)) is None


def test_a_duration_that_is_not_the_tracks_own_is_left_to_ffmpeg(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", *PICTURE, *SOUND, *X264)
    content = bytearray(path.read_bytes())
    at = content.index(b"mvhd") + 20
    content[at : at + 4] = (2 * int.from_bytes(content[at : at + 4])).to_bytes(4)
    path.write_bytes(content)
    assert read_header(path, list_boxes(path)) is None
    assert abs(probe_media(path).duration_ms - 2000) <= 50


def test_damaged_header_is_left_to_ffmpeg_or_read_but_never_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", *PICTURE, *SOUND, *X264)
    content, boxes = path.read_bytes(), list_boxes(path)
    header = next(box for box in boxes if box.kind == b"moov")
    noise = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(8):
            damaged[noise.randrange(header.start + 8, header.end)] = noise.randrange(256)
        path.write_bytes(damaged)
        read_header(path, boxes)


def box(kind: bytes, size: int) -> bytes:
    return size.to_bytes(4) + kind + b"\0" * (size - 8)


def test_whole_file_is_listed_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", 16) + box(b"moov", 100) + (1).to_bytes(4) + b"mdat" + (50).to_bytes(8) + b"\0" * 34)
    assert [(found.kind, found.end - found.start) for found in list_boxes(path)] == [
        (b"ftyp", 16),
        (b"moov", 100),
        (b"mdat", 50),
    ]


@pytest.mark.parametrize("tail", [b"\0" * 4, b"\r\n", b"\0" * 100, b"\r\n" * 10, b"TAG" + b" " * 125, b"<html></html>"])
@pytest.mark.parametrize("middle", [b"", box(b"moof", 30) + box(b"mdat", 20)], ids=["whole", "fragments"])
def test_bytes_after_the_last_box_are_no_truncation(tail: bytes, middle: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", 16) + box(b"moov", 100) + box(b"mdat", 50) + middle + tail)
    assert [found.kind for found in list_boxes(path)][:3] == [b"ftyp", b"moov", b"mdat"]


def test_empty_space_that_is_cut_off_behind_the_media_is_no_truncation(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", 16) + box(b"moov", 100) + box(b"mdat", 50) + box(b"free", 60)[:-1])
    assert [found.kind for found in list_boxes(path)] == [b"ftyp", b"moov", b"mdat"]


@pytest.mark.parametrize(
    "rest", [box(b"free", 60)[:-1], box(b"mdat", 60)[:-1], box(b"moof", 60)[:-1], box(b"moof", 60)[:4]]
)
def test_a_fragment_that_is_cut_off_is_incomplete(rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", 16) + box(b"moov", 100) + box(b"moof", 30) + box(b"mdat", 50) + rest)
    with pytest.raises(IncompleteMediaError):
        list_boxes(path)


@pytest.mark.parametrize("lost", [1, 49, 60])
def test_file_that_ends_inside_a_box_is_incomplete(lost: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes((box(b"ftyp", 16) + box(b"moov", 100) + box(b"mdat", 50))[:-lost])
    with pytest.raises(IncompleteMediaError):
        list_boxes(path)
