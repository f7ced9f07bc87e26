"""The door to the ffmpeg program: sound for people to listen to, and fingerprints.

Media come from strangers: ffmpeg may open plain files only (no network, no playlists that name other files),
reads no keys, and is killed when it passes its time limit. What a file holds, and its samples, come through PyAV
(`extract.container`, `extract.sound`). The program and the package that writes its command lines are looked for when
they are used: the speech CNN runs where neither is.
"""

import subprocess
from pathlib import Path
from typing import Any

from datasets.devices import refuse_killed
from datasets.media.container import existing_file
from datasets.media.containers import CONTAINERS
from datasets.media.waveforms import SAMPLING_RATE as SAMPLING_RATE
from datasets.outcomes import MediaError
from extract.container import MediaInfo as MediaInfo
from extract.container import probe_media as probe_media
from extract.sound import audio_chunks as audio_chunks
from extract.sound import read_audio as read_audio

ENCODE_TIMEOUT_S = 60.0
FINGERPRINT_TIMEOUT_S = 600.0
_REPEATABLE = {"map_metadata": -1, "fflags": "+bitexact", "flags": "+bitexact"}


def ffmpeg_path() -> str:
    """The ffmpeg program that comes with imageio-ffmpeg; nothing is looked up on the PATH."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def encode_speech(path: str | Path, start_ms: int, end_ms: int, audio_track: int | None = None) -> bytes:
    """[start_ms, end_ms) of a file's sound as MP3, 24 kbit/s mono, which every browser plays.

    Raises:
        MediaError: "media_missing", "no_audio" or "decode_failed".
    """
    import ffmpeg

    samples = (read_audio(path, start_ms, end_ms, audio_track) * 32768).astype("<i2").tobytes()
    source = ffmpeg.input("pipe:0", format="s16le", ar=SAMPLING_RATE, ac=1)
    sound = {"format": "mp3", "acodec": "libmp3lame", "b:a": "24k"}
    return _encode(source, sound | _REPEATABLE, Path(path).name, samples)


def make_fingerprint(path: str | Path, length_ms: int, audio_track: int, channel: int | None = None) -> bytes | None:
    """The Chromaprint fingerprint of the beginning of a file's sound; None where none can be made.

    Args:
        path: the media file.
        length_ms: how much of the beginning goes into it.
        audio_track: index of the stream.
        channel: the one to hear alone; all are mixed when not given.
    """
    import ffmpeg

    safety = {"protocol_whitelist": "file,pipe", "format_whitelist": CONTAINERS}
    options = {"format": "chromaprint", "fp_format": "raw", "ac": 1, "ar": 11025, "t": f"{length_ms / 1000:.3f}"}
    if channel is not None:
        options["af"] = f"pan=mono|c0=c{channel}"
    try:
        source = ffmpeg.input(f"file:{existing_file(path)}", threads=1, **safety)[str(audio_track)]
        return _encode(source, options, Path(path).name, timeout_s=FINGERPRINT_TIMEOUT_S)
    except MediaError:
        return None


def _encode(
    source: Any, options: dict[str, Any], name: str, data: bytes = b"", timeout_s: float = ENCODE_TIMEOUT_S
) -> bytes:
    """What ffmpeg makes of an input, or of `data` at its standard input."""
    import ffmpeg

    command = ffmpeg.compile(source.output("pipe:1", **options), cmd=[ffmpeg_path(), "-nostdin", "-v", "error"])
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise MediaError("decode_failed", f"ffmpeg was stopped at its time limit on {name}") from error
    refuse_killed(done.returncode, f"ffmpeg on {name}", "lower run.num_workers")
    if not done.stdout:
        raise MediaError("decode_failed", f"{name}: {last_line(done.stderr.decode(errors='replace'))}")
    return done.stdout


def last_line(text: str) -> str:
    """The last line that is not empty, at most 300 characters: what a program complained about."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"
