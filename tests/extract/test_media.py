import subprocess

import numpy as np
import pytest

from datasets.outcomes import MediaError
from extract.media import audio_chunks, ffmpeg_path, probe_media, read_audio


def encode(path, *arguments):
    """Make a media file with ffmpeg's own signal sources."""
    subprocess.run([ffmpeg_path(), "-nostdin", "-v", "error", "-y", *arguments, str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("media") / "-video with spaces: 1.mp4"
    sources = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=25:duration=2"]
    sources += ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"]
    return encode(path, *sources, "-c:v", "libx264", "-c:a", "aac", "-shortest")


def test_ffmpeg_is_not_looked_up_on_the_path(monkeypatch, video):
    monkeypatch.setenv("PATH", "")
    assert probe_media(video).audio_codec == "aac"
    assert len(read_audio(video)) == 32000


def test_probe_tells_streams_and_duration(video):
    info = probe_media(video)
    assert (info.width, info.height, info.fps, info.video_codec, info.audio_codec) == (320, 180, 25.0, "h264", "aac")
    assert abs(info.duration_ms - 2000) <= 50


def test_probe_of_audio_has_no_picture(tmp_path):
    info = probe_media(encode(tmp_path / "tone.wav", "-f", "lavfi", "-i", "sine=duration=1"))
    assert (info.width, info.video_codec, info.audio_codec, info.duration_ms) == (None, None, "pcm_s16le", 1000)


def test_duration_is_measured_where_the_header_does_not_tell(tmp_path):
    path = encode(tmp_path / "tone.flac", "-f", "lavfi", "-i", "sine=duration=1")
    whole = path.read_bytes()
    no_length = whole[:21] + bytes([whole[21] & 0xF0, 0, 0, 0, 0]) + whole[26:]
    path.write_bytes(no_length)
    assert abs(probe_media(path).duration_ms - 1000) <= 50


@pytest.mark.parametrize("tag", ["COMMENT=Duration: 01:23:45.67", "title=Stream #0:9: Video: none, 9999x9999, 99 fps"])
def test_no_text_in_a_file_is_read_as_a_fact_about_it(tmp_path, tag):
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=2", "-c:v", "libvpx", "-metadata", tag]
    info = probe_media(encode(tmp_path / "a.webm", *source))
    assert (info.duration_ms, info.width, info.height, info.fps) == (2000, 64, 48, 5.0)


@pytest.mark.parametrize(
    "content",
    [b"", b"plain text\n" * 50, b"<!doctype html><html><body>Sign in to confirm</body></html>", bytes(range(256)) * 20],
    ids=["empty", "text", "html", "bytes"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".txt"])
def test_what_is_no_media_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"video{suffix}"
    path.write_bytes(content)
    for read in (probe_media, read_audio):
        with pytest.raises(MediaError) as caught:
            read(path)
        assert caught.value.reason == "decode_failed"
        assert "\n" not in str(caught.value)


def test_a_playlist_cannot_name_other_files(tmp_path):
    encode(tmp_path / "secret.wav", "-f", "lavfi", "-i", "sine=duration=1")
    playlist = tmp_path / "video.mp4"
    playlist.write_text("ffconcat version 1.0\nfile secret.wav\n")
    with pytest.raises(MediaError, match="decode_failed"):
        read_audio(playlist)
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError, match="decode_failed"):
        read_audio(playlist)


def test_missing_file(tmp_path):
    for read in (probe_media, read_audio):
        with pytest.raises(MediaError) as caught:
            read(tmp_path / "nothing.mp4")
        assert caught.value.reason == "media_missing"


def test_video_without_sound(tmp_path):
    path = encode(tmp_path / "mute.mp4", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1")
    assert probe_media(path).audio_codec is None
    with pytest.raises(MediaError) as caught:
        read_audio(path)
    assert caught.value.reason == "no_audio"


def test_audio_is_mono_float_in_range(video):
    waveform = read_audio(video)
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert 0.05 < np.abs(waveform).max() < 1.0


def test_interval_of_audio(tmp_path):
    path = encode(tmp_path / "tone.wav", "-f", "lavfi", "-i", "sine=duration=3:sample_rate=16000")
    assert np.array_equal(read_audio(path, 1000, 1500), read_audio(path)[16000:24000])


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_layout_becomes_16_khz_mono(tmp_path, rate, channels):
    arguments = ["-f", "lavfi", "-i", "sine=duration=1", "-ar", str(rate), "-ac", str(channels)]
    path = encode(tmp_path / "tone.wav", *arguments)
    assert abs(len(read_audio(path)) - 16000) <= 1


def test_chunks_are_the_whole(video):
    with audio_chunks(video, chunk_samples=7001) as chunks:
        parts = list(chunks)
    assert [len(part) for part in parts[:-1]] == [7001] * (len(parts) - 1)
    assert np.array_equal(np.concatenate(parts), read_audio(video))


def test_truncated_file_gives_what_can_be_decoded(tmp_path):
    whole = encode(tmp_path / "tone.mp3", "-f", "lavfi", "-i", "sine=duration=4")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 16000 < len(read_audio(whole)) < 48000


def test_time_limit_ends_the_decoder(video):
    with pytest.raises(MediaError) as caught, audio_chunks(video, timeout_s=0.001) as chunks:
        list(chunks)
    assert caught.value.reason == "decode_failed"
    assert "time limit" in caught.value.detail


def test_leaving_early_stops_the_decoder(video):
    with audio_chunks(video, chunk_samples=100) as chunks:
        assert len(next(chunks)) == 100
