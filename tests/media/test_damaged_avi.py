"""AVI of which bytes in the middle are lost: what lies behind is at its time by the index, or the file is refused."""

from pathlib import Path

import numpy as np
import pytest

from datasets.outcomes import MediaError
from extract.container import probe_media
from extract.sound import audio_chunks, read_audio
from features.frames import decode_clip
from tests.media.render import ffmpeg, film
from tests.media.test_cut_sound import MPEG4, lag
from tests.media.test_sound import chirp

LOST = slice(40, 60)
"""Per cent of the bytes, and so of the time."""


def with_hole(path: Path, codec: str, has_index: bool) -> tuple[Path, Path]:
    """10 s of picture and sound, and a copy in which zeros stand for a part."""
    whole = path.with_name(f"whole_{path.name}")
    picture = film(path.with_suffix(".mkv"), 10, "-c:v", "ffv1", size=(64, 48))
    ffmpeg("-i", picture, *chirp(10, 48000), *MPEG4, "-g", 25, "-c:a", codec, whole)
    content = bytearray(whole.read_bytes())
    first, last = len(content) * LOST.start // 100, len(content) * LOST.stop // 100
    content[first:last] = bytes(last - first)
    if not has_index:
        content = content[: content.rindex(b"idx1")]
    path.write_bytes(content)
    return whole, path


@pytest.mark.parametrize("codec", ["pcm_s16le", "libmp3lame"])
def test_behind_a_hole_in_an_avi_all_is_at_its_time(codec: str, tmp_path: Path) -> None:
    whole, path = with_hole(tmp_path / "hole.avi", codec, has_index=True)
    right = read_audio(whole)
    with audio_chunks(path) as chunks:
        found = np.concatenate(list(chunks))
    assert "s of sound missing" in str(chunks.describe())
    assert abs(lag(found[7 * 16_000 : 8 * 16_000], right, 7000)) <= 16
    clip, twin = decode_clip(path, 7000, 9000), decode_clip(whole, 7000, 9000)
    assert abs(lag(clip.waveform, right, 7000)) <= 16
    assert np.array_equal(clip.frames_3d, twin.frames_3d)
    spanning, twin = decode_clip(path, 2000, 9000), decode_clip(whole, 2000, 9000)
    assert spanning.missing_picture_ms == pytest.approx(2000, abs=600)
    assert spanning.missing_sound_ms == pytest.approx(2000, abs=600)
    assert np.array_equal(spanning.frames_3d[-24:], twin.frames_3d[-24:])


def test_an_avi_whose_beginning_is_lost_is_refused(tmp_path: Path) -> None:
    _, path = with_hole(tmp_path / "hole.avi", "libmp3lame", has_index=True)
    content = bytearray(path.read_bytes())
    first = content.index(b"movi") + 4
    content[first : first + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"decode_failed: .* is damaged at byte"):
        probe_media(path)


def test_a_hole_in_an_avi_without_index_is_refused(tmp_path: Path) -> None:
    whole, path = with_hole(tmp_path / "hole.avi", "libmp3lame", has_index=False)
    with pytest.raises(MediaError, match=r"decode_failed: .* is damaged at byte"):
        probe_media(path)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 9 // 10])
    assert np.array_equal(decode_clip(path, 6000, 8000).frames_3d, decode_clip(whole, 6000, 8000).frames_3d)
