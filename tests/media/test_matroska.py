"""What Matroska alone has: several frames of sound in a block, times below 0, one duration for all tracks."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from datasets.outcomes import MediaError
from extract.container import probe_media
from extract.sound import read_audio
from features.frames import decode_clip
from tests.media.render import X264, ffmpeg, film, grey
from tests.media.test_cut_sound import MOST_OFF, lag
from tests.media.test_sound import LAG, chirp, misfit, timed

SECONDS = 8
FRAMES_IN_A_BLOCK = 5
SEGMENT, INFO, TRACKS = "18538067", "1549a966", "1654ae6b"


def element(name: str, content: bytes) -> bytes:
    return bytes.fromhex(name) + (len(content) | 1 << 56).to_bytes(8) + content


def elements(content: bytes) -> Iterator[tuple[str, bytes]]:
    position = 0
    while position < len(content):
        name_end = position + 9 - content[position].bit_length()
        name = content[position:name_end].hex()
        position = name_end + 9 - content[name_end].bit_length()
        size = int.from_bytes(content[name_end:position]) - (1 << 7 * (position - name_end))
        yield name, content[position : position + size]
        position += size


def sizes_as_xiph(sizes: list[int]) -> bytes:
    return b"".join(b"\xff" * (size // 255) + bytes([size % 255]) for size in sizes[:-1])


def sizes_as_ebml(sizes: list[int]) -> bytes:
    steps = (after - before + (1 << 13) - 1 for before, after in pairwise(sizes[:-1]))
    return (sizes[0] | 1 << 14).to_bytes(2) + b"".join((step | 1 << 14).to_bytes(2) for step in steps)


LACINGS = {"xiph": (2, sizes_as_xiph), "fixed": (4, lambda _: b""), "ebml": (6, sizes_as_ebml)}


def laced(source: Path, target: Path, lacing: str) -> Path:
    """A copy, frames of sound stored five in a block; the times of picture and sound begin at 0."""
    flag, write_sizes = LACINGS[lacing]
    blocks, waiting = [], []
    with av.open(str(source)) as given:
        for packet in given.demux():
            track = bytes([0x81 + packet.stream_index])
            if packet.pts is None:
                continue
            if packet.stream.type == "video":
                blocks.append((packet.pts, track, bytes([128 * packet.is_keyframe]) + bytes(packet)))
                continue
            waiting.append(packet)
            if len(waiting) == FRAMES_IN_A_BLOCK:
                frames = [bytes(frame) for frame in waiting]
                content = bytes([0x80 | flag, len(frames) - 1]) + write_sizes([len(frame) for frame in frames])
                blocks.append((waiting[0].pts, track, content + b"".join(frames)))
                waiting = []
    first = {track: pts for pts, track, _ in reversed(blocks)}  # sound is stored from below 0 on
    clusters = [
        element("e7", (pts - first[track]).to_bytes(4)) + element("a3", track + b"\0\0" + content)
        for pts, track, content in blocks
    ]
    top = dict(elements(source.read_bytes()))
    segment = dict(elements(top[SEGMENT]))
    heads = element(INFO, segment[INFO]) + element(TRACKS, segment[TRACKS])
    body = heads + b"".join(element("1f43b675", cluster) for cluster in clusters)
    target.write_bytes(element("1a45dfa3", top["1a45dfa3"]) + element(SEGMENT, body))
    return target


@pytest.fixture(scope="module")
def film_with_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, the first of each second a key frame, under a tone that rises all the time."""
    folder = tmp_path_factory.mktemp("matroska")
    picture = film(folder / "picture.mkv", SECONDS, *X264, "-bf", 2, "-g", 25, size=(64, 48))
    ffmpeg("-i", picture, *chirp(SECONDS, 48000), "-c:v", "copy", "-c:a", "pcm_s16le", folder / "film.mkv")
    return folder / "film.mkv"


@pytest.mark.parametrize(
    ("codec", "lacing"),
    [
        ("libmp3lame", "fixed"),
        ("libvorbis", "xiph"),
        ("aac", "ebml"),
        pytest.param("libopus", "xiph", marks=pytest.mark.slow),
        pytest.param("flac", "ebml", marks=pytest.mark.slow),
        pytest.param("ac3", "fixed", marks=pytest.mark.slow),
    ],
)
def test_frames_of_sound_that_share_a_block_are_each_at_their_time(
    codec: str, lacing: str, tmp_path: Path, film_with_sound: Path
) -> None:
    plain = tmp_path / "plain.mkv"
    ffmpeg("-i", film_with_sound, "-c:v", "copy", "-c:a", codec, "-b:a", "128k", plain)
    path = laced(plain, tmp_path / "laced.mkv", lacing)
    heard = read_audio(path)
    assert misfit(heard, timed(path)) < 0.01
    clip = decode_clip(path, 2345, 4345)
    assert abs(lag(clip.waveform, heard, 2345)) <= 3 * MOST_OFF
    assert abs(lag(read_audio(path, 2345, 4345), heard, 2345)) <= 3 * MOST_OFF
    assert clip.missing_sound_ms == 0
    assert np.array_equal(clip.frames_3d, decode_clip(plain, 2345, 4345).frames_3d)


@pytest.mark.parametrize("cut", [(400, 900), (300, 2000), (1100, 2600), (7000, 7900)])
def test_a_film_that_starts_below_time_0_is_whole(cut: tuple[int, int], tmp_path: Path, film_with_sound: Path) -> None:
    path = tmp_path / "early.mkv"
    early = ("-output_ts_offset", -1.2, "-avoid_negative_ts", "disabled")
    ffmpeg("-i", film_with_sound, "-c:v", "copy", "-c:a", "libopus", *early, path)
    assert probe_media(path).duration_ms == pytest.approx(1000 * SECONDS, abs=50)
    clip, right = decode_clip(path, *cut), decode_clip(film_with_sound, *cut)
    assert (clip.missing_picture_ms, clip.missing_sound_ms) == (0, 0)
    counts = [grey(each.frames_3d)[:, 24, 24] for each in (clip, right)]
    assert len(counts[0]) == len(counts[1])
    assert np.median(np.abs(counts[0] - counts[1])) < 3  # Opus begins 6 ms before: a picture may come a row later
    heard = read_audio(film_with_sound)
    assert abs(lag(clip.waveform, heard, cut[0])) <= LAG
    assert abs(lag(read_audio(path, *cut), heard, cut[0])) <= LAG


@pytest.mark.parametrize("ending", ["mkv", "flv"])
def test_a_film_that_starts_at_hours_is_as_long_as_it_is(ending: str, tmp_path: Path, film_with_sound: Path) -> None:
    path = tmp_path / f"hours.{ending}"
    muxer = ("-output_ts_offset", 36_000, "-flvflags", "no_duration_filesize")
    ffmpeg("-i", film_with_sound, "-c:v", "copy", "-c:a", "libmp3lame", "-ar", 44100, *muxer, path)
    assert probe_media(path).duration_ms == pytest.approx(1000 * SECONDS, abs=50)
    assert len(decode_clip(path).frames_2d) == SECONDS


def test_a_film_that_starts_at_hours_and_breaks_off_says_so(tmp_path: Path, film_with_sound: Path) -> None:
    path = tmp_path / "hours.mkv"
    ffmpeg("-i", film_with_sound, "-c", "copy", "-output_ts_offset", 36_000, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="file breaks off"):
        decode_clip(path)


def test_an_index_without_its_beginning_hides_no_sound(tmp_path: Path, film_with_sound: Path) -> None:
    path, content = tmp_path / "late_index.mkv", bytearray(film_with_sound.read_bytes())
    at = content.rindex(bytes.fromhex("1c53bb6b"))
    points = [i for i in range(at, len(content)) if content[i] == 0xBB and content[i + 2] == 0xB3]
    assert len(points) == SECONDS
    for point in points[:5]:
        content[point] = 0xEC  # void
    path.write_bytes(content)
    assert abs(lag(read_audio(path, 2500, 4000), read_audio(film_with_sound), 2500)) <= MOST_OFF
    clip, right = decode_clip(path, 2500, 4000), decode_clip(film_with_sound, 2500, 4000)
    assert np.array_equal(clip.frames_3d, right.frames_3d)
    assert np.array_equal(clip.waveform, right.waveform)


@pytest.mark.parametrize(("ending", "name"), [("mkv", b"\x44\x89\x88"), ("flv", b"duration\0")])
def test_a_duration_that_is_far_too_short_is_not_believed(
    ending: str, name: bytes, tmp_path: Path, film_with_sound: Path
) -> None:
    path = tmp_path / f"short.{ending}"
    ffmpeg("-i", film_with_sound, "-c:v", "copy", "-c:a", "libmp3lame", "-ar", 44100, path)
    content = bytearray(path.read_bytes())
    at = content.index(name) + len(name)
    content[at : at + 8] = struct.pack(">d", 3000 if ending == "mkv" else 3)
    path.write_bytes(content)
    assert probe_media(path).duration_ms == pytest.approx(1000 * SECONDS, abs=60)
    assert len(decode_clip(path, 5000, 7000).frames_2d) == 2


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "srt"), ("mp4", "mov_text")])
def test_subtitles_longer_than_the_film_do_not_lengthen_it(
    ending: str, codec: str, tmp_path: Path, film_with_sound: Path
) -> None:
    words, path = tmp_path / "words.srt", tmp_path / f"words.{ending}"
    words.write_text("1\n00:00:01,000 --> 00:00:02,000\nearly\n\n2\n00:00:40,000 --> 00:00:50,000\nlate\n")
    sources = ("-i", film_with_sound, "-i", words, "-map", 0, "-map", 1)
    ffmpeg(*sources, "-c:v", "copy", "-c:a", "libmp3lame", "-c:s", codec, path)
    assert probe_media(path).duration_ms == pytest.approx(1000 * SECONDS, abs=50)
    assert decode_clip(path).missing_picture_ms == 0
