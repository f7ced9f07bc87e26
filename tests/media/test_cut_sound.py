"""The sound of a clip is the whole file's at that time, however its container finds the place."""

from pathlib import Path

import av
import numpy as np
import pytest

from extract.sound import read_audio
from features.frames import decode_clip
from features.frames.sound import read_waveform
from tests.media.render import X264, ffmpeg, film
from tests.media.test_sound import AAC, Samples, chirp, make_gap, misfit, packets, timed, with_picture

SECONDS = 14
CUTS = [(3333, 4500), (12_345, 13_500)]
MARGIN = 1600
"""Samples, 100 ms."""
MOST_OFF = 32
"""Samples, 2 ms: the whole milliseconds of Matroska and FLV, once for the cut and once for the file."""
MPEG4 = ("-c:v", "mpeg4", "-q:v", 5)
FAST = ("mp3.avi", "flac.oga", "adpcm.wav", "wmav2.wma", "tta.mka")
# codec of the sound, its rate, arguments for the picture where there is one
FILES: dict[str, tuple[object, ...]] = {
    "mp3.avi": ("libmp3lame", 44100, *MPEG4),
    "mp2.avi": ("mp2", 44100, *MPEG4),
    "ac3.avi": ("ac3", 48000, *MPEG4),
    "adpcm.avi": ("adpcm_ms", 44100, *MPEG4),
    "wmav2.avi": ("wmav2", 44100, *MPEG4),
    "pcm.avi": ("pcm_s16le", 44100, *MPEG4),
    "wmav2.wmv": ("wmav2", 44100, "-c:v", "wmv2"),
    "aac.flv": ("aac", 44100, *X264),
    "mp2.mpg": ("mp2", 44100, "-c:v", "mpeg2video"),
    "ac3.vob": ("ac3", 48000, "-c:v", "mpeg2video"),
    "mp2.ts": ("mp2", 48000, *X264),
    "mp3.mkv": ("libmp3lame", 44100, *X264),
    "tta.mka": ("tta", 44100),
    "opus.webm": ("libopus", 48000, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", 8),
    "flac.oga": ("flac", 44100),
    "vorbis.ogg": ("libvorbis", 44100),
    "adpcm.wav": ("adpcm_ms", 44100),
    "wmav2.wma": ("wmav2", 44100),
    "variable.mp3": ("libmp3lame", 44100, "-q:a", 5, "-write_xing", 0),
    "bare.aac": ("aac", 44100),
}


def lag(found: Samples, whole: Samples, start_ms: int) -> int:
    """Samples by which a clip is late."""
    first = start_ms * 16 - MARGIN
    right = whole[first : first + len(found) + 2 * MARGIN]
    size = 1 << (len(found) + len(right)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(right, size) * np.conj(np.fft.rfft(found, size)), size)
    return MARGIN - int(likeness[: 2 * MARGIN + 1].argmax())


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("picture") / "picture.mkv", SECONDS, "-c:v", "ffv1", size=(64, 48))


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in FILES])
def test_a_clip_sounds_as_the_whole_file_does_at_its_time(name: str, tmp_path: Path, picture: Path) -> None:
    codec, rate, *arguments = FILES[name]
    path, has_picture = tmp_path / name, bool({"-c:v"} & set(arguments))
    shown = ("-i", picture, "-map", 0, "-map", 1) if has_picture else ()
    noise = ("-f", "lavfi", "-i", f"anoisesrc=d={SECONDS}:seed=3:r={rate}:a=0.3,lowpass=3000")
    ffmpeg(*shown[:2], *noise, *shown[2:], *arguments, "-c:a", codec, path)
    heard, features = read_audio(path), read_waveform(path)
    for start_ms, end_ms in CUTS:
        found = read_audio(path, start_ms, end_ms)
        assert abs(len(found) - 16 * (end_ms - start_ms)) <= 1
        assert abs(lag(found, heard, start_ms)) <= MOST_OFF
        assert np.abs(found[:MARGIN]).max() > 0.01
        if has_picture:
            clip = decode_clip(path, start_ms, end_ms)
            assert abs(lag(clip.waveform, features, start_ms)) <= MOST_OFF
            assert clip.missing_sound_ms == 0


@pytest.mark.parametrize("codec", ["flac", "aac", "libvorbis", "libopus", "libmp3lame", "wmav2"])
def test_a_first_time_that_was_rounded_moves_all_of_the_track_as_for_ffmpeg(
    codec: str, tmp_path: Path, picture: Path
) -> None:
    path = tmp_path / ("rounded.asf" if codec == "wmav2" else "rounded.mkv")
    rate = 48000 if codec == "libopus" else 24000
    noise = ("-itsoffset", 1.8827, "-f", "lavfi", "-i", f"anoisesrc=d=8:seed=3:r={rate}:a=0.3,lowpass=3000")
    ffmpeg("-i", picture, *noise, "-map", 0, "-map", 1, "-c:v", "mpeg4", "-c:a", codec, path)
    right = timed(path)
    for cut in ((1000, 4000), (4321, 6321)):
        for found in (decode_clip(path, *cut).waveform, read_audio(path, *cut)):
            assert abs(lag(found, right, cut[0])) <= 1


def test_a_clip_that_begins_in_a_gap_goes_on_where_the_whole_file_does(tmp_path: Path) -> None:
    path, cut = make_gap(tmp_path, "mkv"), (2200, 4200)
    right = timed(path)
    for found in (decode_clip(path, *cut).waveform, read_audio(path, *cut)):
        assert abs(lag(found, right, cut[0])) == 0


def test_what_lies_at_the_one_time_of_a_joint_is_not_heard(tmp_path: Path) -> None:
    def joined(packet: av.Packet, at: float) -> av.Packet:
        """As if 2 to 4.6 s were cut away, but for what follows the key frame before 4.6 s."""
        packet.pts = packet.dts = round((min(at, 2.0) if at < 4.6 else at - 2.6) / packet.time_base)
        return packet

    whole = with_picture(tmp_path, "whole.mkv", *chirp(9, 48000), *AAC, seconds=6.4)
    path, right = packets(whole, tmp_path / "joined.mkv", joined), timed(whole)
    right = np.concatenate([right[:32_000], right[73_600:]])
    for found in (read_audio(path), decode_clip(path).waveform):
        assert len(found) == pytest.approx(len(right), abs=MARGIN)
        assert misfit(found[:32_000], right[:32_000]) < 0.02
        assert misfit(found[34_000:], right[34_000:], MOST_OFF) < 0.02
    for start_ms in (2100, 2500):
        assert misfit(read_audio(path, start_ms, 4500), right[16 * start_ms : 72_000], MOST_OFF) < 0.02
