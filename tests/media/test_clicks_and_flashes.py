"""Where containers and ffmpeg differ, who is right: a click is heard while the picture flashes."""

from pathlib import Path

import numpy as np
import pytest

from extract.sound import read_audio
from features.frames import decode_clip
from tests.media.render import X264, ffmpeg

RATE = 25


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s; a white picture and 10 ms of a tone begin at 1.52, 2.52 and 3.52 s."""
    path, flash, moments = tmp_path_factory.mktemp("clicks") / "clicks.mkv", np.zeros(4 * RATE, bool), (38, 63, 88)
    flash[list(moments)] = True
    pictures = np.repeat(np.where(flash, 230, 40).astype(np.uint8), 64 * 48)
    tone = "+".join(f"between(t,{moment / RATE},{moment / RATE + 0.01})" for moment in moments)
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x48", "-r", RATE, "-i", "-")
    sound = ("-f", "lavfi", "-i", f"aevalsrc='0.5*sin(2*PI*1000*t)*({tone})':s=48000:d=4")
    ffmpeg(*source, *sound, *X264, "-bf", 2, "-g", RATE, "-c:a", "aac", path, data=pictures.tobytes())
    return path


def test_a_fragmented_mp4_made_of_matroska_is_heard_when_it_is_seen(tmp_path: Path, clicks: Path) -> None:
    """B-frames delay the picture by two. So do the times of the sound, but the first: ffmpeg counts from there."""
    path = tmp_path / "fragments.mp4"
    ffmpeg("-i", clicks, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", path)
    for start_ms in (1000, 2000):
        clip = decode_clip(path, start_ms, start_ms + 1000)
        flash_ms = 1000 * int(np.argmax(clip.frames_3d.mean(axis=(1, 2, 3)) > 150)) / 24
        for samples in (clip.waveform, read_audio(path, start_ms, start_ms + 1000)):
            click_ms = int(np.argmax(np.abs(samples) > 0.1)) / 16
            assert click_ms == pytest.approx(flash_ms, abs=500 / 24)
