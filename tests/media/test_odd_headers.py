"""Files whose headers are odd: titles in another script's bytes, streams that appear while a file is read."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.outcomes import MediaError
from extract.container import probe_media, probe_sound
from extract.mp4 import list_boxes
from extract.sound import audio_chunks, read_audio
from features.frames import decode_clip
from features.frames.sound import read_waveform
from tests.media.render import X264, ffmpeg, film, reference_rows
from tests.media.test_sound import PRIMING, TIMED, chirp, misfit

# 10 s, the first half silent: of a size of frames that says nothing of the rest
BARE = {
    "silence.aac": ("-c:a", "aac"),
    "silence.mp3": ("-c:a", "libmp3lame", "-q:a", 2, "-write_xing", 0),
}
TITLE = "KARAAGE-NO-TSUKURIKATA"


@pytest.mark.parametrize("ending", ["avi", "mp4", "mkv"])
def test_a_title_that_is_no_utf8_costs_no_file(ending: str, tmp_path: Path) -> None:
    picture, path = film(tmp_path / "picture.mkv", 2, "-c:v", "mpeg4"), tmp_path / f"titled.{ending}"
    told = ("-metadata", f"title={TITLE}", "-metadata:s:a:0", f"title={TITLE}")
    ffmpeg("-i", picture, *chirp(2), "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "aac", *told, path)
    shift_jis = "からあげの作り方レシ".encode("shift_jis").ljust(len(TITLE), b"!")
    written = path.read_bytes()
    assert TITLE.encode() in written
    path.write_bytes(written.replace(TITLE.encode(), shift_jis))
    assert probe_media(path).video_codec == "mpeg4"
    assert len(decode_clip(path, 500, 1500).frames_2d) == 1
    assert abs(len(read_audio(path)) - len(read_waveform(path))) == 0


def test_sound_that_nothing_decodes_costs_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "unknown.mkv"
    ffmpeg(
        "-i", film(tmp_path / "picture.mp4", 2), *chirp(2), "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "aac", path
    )
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    assert (probe_media(path).video_codec, probe_media(path).audio_codec) == ("h264", None)
    assert len(decode_clip(path, 500, 1500).frames_2d) == 1
    with pytest.raises(MediaError, match="no_audio"):
        read_audio(path)


@pytest.mark.parametrize(("orientation", "size"), [(1, (160, 90)), (6, (90, 160))])
def test_pictures_of_a_camera_are_turned_as_their_exif_says(
    orientation: int, size: tuple[int, int], tmp_path: Path
) -> None:
    exif, photograph = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    pixels = np.zeros((90, 160, 3), np.uint8)
    pixels[:45, :80] = 250
    Image.fromarray(pixels).save(photograph, "JPEG", exif=exif)
    path = tmp_path / "camera.avi"
    ffmpeg("-f", "image2pipe", "-c:v", "mjpeg", "-i", "-", "-c", "copy", path, data=50 * photograph.getvalue())
    clip = decode_clip(path, 400, 1600)
    for found, right in zip((clip.frames_2d, clip.frames_3d), reference_rows(path, size, (400, 1600)), strict=True):
        assert np.array_equal(found, right)


def test_a_stream_that_appears_late_ends_no_reading(tmp_path: Path) -> None:
    mute = film(tmp_path / "mute.ts", 24, *X264, "-g", 25, size=(64, 36))
    spoken = tmp_path / "spoken.ts"
    ffmpeg("-i", mute, *chirp(24), "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "aac", "-streamid", "1:400", spoken)
    path = tmp_path / "late.ts"
    path.write_bytes(mute.read_bytes() + spoken.read_bytes())
    assert probe_media(path).duration_ms == pytest.approx(48_000, abs=200)
    assert len(decode_clip(path, 30_000, 32_000).frames_2d) == 2
    assert len(decode_clip(path).frames_2d) == 48


@pytest.mark.parametrize("name", BARE)
def test_bare_sound_is_as_long_as_its_frames(name: str, tmp_path: Path) -> None:
    noise = "aevalsrc='0.3*(random(0)-0.5)*gt(t,5)':s=44100:d=10"
    ffmpeg("-f", "lavfi", "-i", noise, *BARE[name], tmp_path / name)
    assert probe_media(tmp_path / name).duration_ms == pytest.approx(10_000, abs=100)
    assert probe_sound(tmp_path / name)[2] == pytest.approx(10_000, abs=100)
    with audio_chunks(tmp_path / name) as chunks:
        list(chunks)
    assert chunks.describe() is None


def test_bare_aac_may_change_its_rate(tmp_path: Path) -> None:
    path, rates = tmp_path / "rates.aac", (44100, 48000, 22050)
    path.write_bytes(b"".join(ffmpeg(*chirp(3, rate), "-c:a", "aac", "-f", "adts", "-") for rate in rates))
    right = np.frombuffer(ffmpeg(*chirp(3), *TIMED), np.int16) / np.float32(32768)
    for found in (read_audio(path, 6000, 7000), read_waveform(path)[96_000:112_000]):
        assert misfit(found, right[:16_000], 2 * PRIMING) < 0.2


def test_opus_that_was_recorded_from_its_middle_on_is_as_long_as_it_is(tmp_path: Path) -> None:
    content, path = ffmpeg(*chirp(9, 48000), "-c:a", "libopus", "-f", "ogg", "-"), tmp_path / "radio.opus"
    pages = [i for i in range(len(content)) if content[i : i + 4] == b"OggS"]
    path.write_bytes(content[: pages[2]] + content[pages[2 + (len(pages) - 2) // 3] :])
    assert probe_media(path).duration_ms == pytest.approx(6000, abs=600)
    with audio_chunks(path) as chunks:
        list(chunks)
    assert chunks.describe() is None


def test_a_late_stream_does_not_lengthen_an_asf_file(tmp_path: Path) -> None:
    picture, path = film(tmp_path / "picture.mkv", 6, "-c:v", "wmv2", size=(64, 48)), tmp_path / "late.wmv"
    late = ("-itsoffset", 2, *chirp(4), "-map", 0, "-map", 1)
    ffmpeg("-i", picture, *late, "-c:v", "copy", "-c:a", "wmav2", path)
    assert probe_media(path).duration_ms == pytest.approx(6000, abs=50)
    assert decode_clip(path).missing_picture_ms == 0


def test_fragments_of_which_the_first_are_not_there_are_as_long_as_the_others(tmp_path: Path) -> None:
    picture, path = film(tmp_path / "picture.mkv", 12, *X264, "-g", 25, size=(64, 48)), tmp_path / "later.mp4"
    fragments = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
    ffmpeg("-i", picture, *chirp(12), "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "aac", *fragments, path)
    content, boxes = path.read_bytes(), list_boxes(path)
    is_gone = [i for i, box in enumerate(boxes) if box.kind in (b"moof", b"mdat")][: 2 * 4]
    path.write_bytes(b"".join(content[box.start : box.end] for i, box in enumerate(boxes) if i not in is_gone))
    assert probe_media(path).duration_ms == pytest.approx(8000, abs=150)
    assert len(decode_clip(path).frames_2d) == 8
