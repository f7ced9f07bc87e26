"""Channels that cancel out for a part of a file are heard in that part, and nowhere else is anything changed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from datasets.media.channels import mixing_filters
from extract.sound import audio_chunks, read_audio
from features.frames.sound import read_waveform
from tests.media.render import ffmpeg

HOP = 160
"""Samples, 10 ms."""
TONE = "sin(2*PI*(200+60*t)*t)"


def render(path: Path, layout: str, levels: str, spans: list[tuple[float, float]], *codec: object) -> Path:
    """8 s in which the channels of a negative level are turned upside down, in some spans of seconds only."""
    turned = "*".join(f"(1-2*between(t,{first},{last}))" for first, last in spans)
    parts = [float(level) for level in levels.split()]
    channels = "|".join(f"{abs(part)}*{TONE}" + (f"*{turned}" if part < 0 else "") for part in parts)
    rate = 8000 if path.suffix == ".wav" else 48000
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc='{channels}':s={rate}:d=8:c={layout}", *codec, path)
    return path


def unheard_ms(samples: np.ndarray) -> int:
    """For how long the tone, which never pauses, is 12 dB softer than it mostly is."""
    hops = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)[3:-6]
    levels = np.sqrt(np.mean(hops**2, axis=1))
    return 10 * int((levels < 0.25 * np.median(levels)).sum())


ONCE, OFTEN = [(2.35, 4.1)], [(1.0, 1.4), (2.9, 3.2), (5.77, 8)]
# name: layout, levels, spans, codec
FILES = {
    "from_the_middle_on.mp4": ("stereo", "0.3 -0.3", [(3.3, 8)], "aac"),
    "once.flac": ("stereo", "0.3 -0.3", ONCE, "flac"),
    "often.webm": ("stereo", "0.3 -0.3", OFTEN, "libopus"),
    "unlike_levels.ogg": ("stereo", "0.3 -0.27", OFTEN, "libvorbis"),
    "telephone.wav": ("stereo", "0.3 -0.3", OFTEN, "pcm_u8"),
    "one_more_channel.mka": ("3.0", "0.3 -0.3 0.01", ONCE, "pcm_s16le"),
    "bass_that_no_mixture_has.mka": ("5.1", "0.3 -0.3 0 0.2 0.01 0.01", ONCE, "ac3"),
    "behind.mov": ("quad", "0 0 0.3 -0.3", ONCE, "pcm_f32le"),
    "eight_planes.mka": ("7.1", "0.3 -0.3 0 0 0 0 0 0", ONCE, "aac"),
}


@pytest.mark.parametrize("name", FILES)
def test_sound_that_cancels_for_a_part_is_heard_there(tmp_path: Path, name: str) -> None:
    layout, levels, spans, codec = FILES[name]
    path = render(tmp_path / name, layout, levels, spans, "-c:a", codec)
    assert unheard_ms(read_audio(path)) <= 20 * 2 * len(spans)
    assert unheard_ms(read_waveform(path)) <= 20 * 2 * len(spans)
    with audio_chunks(path) as chunks:
        list(chunks)
    assert chunks.waveform.lone_channel_s == pytest.approx(sum(last - first for first, last in spans), abs=0.15)


def test_a_moment_of_cancelling_sound_changes_no_bit(tmp_path: Path) -> None:
    moments = [(1.0, 1.15), (2.95, 3.05), (7.9, 8)]
    path = render(tmp_path / "moments.mka", "stereo", "0.3 -0.3", moments, "-c:a", "pcm_s16le")
    found = (read_audio(path) * 32768).astype("<i2").tobytes()
    mixed = ffmpeg("-i", path, "-af", "aresample=16000:out_chlayout=mono", "-f", "s16le", "-")
    assert hashlib.sha256(found).digest() == hashlib.sha256(mixed).digest()


def test_a_pause_keeps_what_was_heard_before(tmp_path: Path) -> None:
    path = tmp_path / "pauses.wav"
    word = f"0.3*{TONE}*lt(mod(t,2),0.4)"
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc='{word}|-{word}':s=16000:d=8:c=stereo", path)
    with audio_chunks(path) as chunks:
        samples = np.concatenate(list(chunks))
    assert chunks.waveform.lone_channel_s == pytest.approx(8, abs=0.01)
    assert np.abs(samples[96000:102400]).max() > 0.25


@pytest.mark.parametrize(("layout", "filters"), [("stereo", []), ("ambisonic 1", ["pan=mono|c0=c0"])])
def test_channels_are_mixed_by_ffmpeg_where_they_have_places(layout: str, filters: list[str]) -> None:
    assert mixing_filters(layout, 4 if filters else 2, None) == filters
