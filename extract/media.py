"""The door to ffmpeg: what a media file holds, and its audio as samples or as chunks.

Media come from strangers: ffmpeg may open plain files only (no network, no playlists that name other files),
reads no keys, and is killed when it passes its time limit.
"""

import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from datasets.outcomes import RowError

SAMPLING_RATE = 16000
DEFAULT_TIMEOUT_S = 3600.0
PROBE_TIMEOUT_S = 60.0
BYTES_PER_SAMPLE = 2

# Containers that hold what a video site serves. Playlists, concat scripts and text "videos" are not among them.
CONTAINERS = "mov,matroska,mp3,wav,w64,ogg,flac,aac,avi,mpegts,mpeg,flv,asf,aiff,au,caf,amr,ac3,eac3"


class MediaError(RowError):
    """A media file that cannot be used: "no_audio", "decode_failed" or "media_missing"."""


@dataclass(frozen=True)
class MediaInfo:
    """What the header of a media file says; `None` where it has no such stream or says nothing."""

    duration_ms: int
    width: int | None
    height: int | None
    fps: float | None
    video_codec: str | None
    audio_codec: str | None


def ffmpeg_path() -> str:
    """The ffmpeg program that comes with imageio-ffmpeg; nothing is looked up on the PATH."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def probe_media(path: str | Path) -> MediaInfo:
    """Read a media file's header.

    Returns:
        Duration in ms (measured by decoding where the header does not tell) and the first video and audio stream.

    Raises:
        MediaError: "media_missing", or "decode_failed" for what is no media file (empty, text, HTML, no streams).
    """
    report = _header_report(path)
    if "Input #0" not in report:
        raise MediaError("decode_failed", last_line(report))
    video, audio = _stream_line(report, "Video"), _stream_line(report, "Audio")
    if video is None and audio is None:
        raise MediaError("decode_failed", f"no video and no audio stream in {Path(path).name}")
    size = re.search(r"\b([1-9]\d{0,5})x([1-9]\d{0,5})\b", video or "")
    fps = re.search(r"([\d.]+) fps", video or "")
    return MediaInfo(
        duration_ms=_parse_duration_ms(report, path),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
        fps=float(fps[1]) if fps else None,
        video_codec=_codec_of(video),
        audio_codec=_codec_of(audio),
    )


def read_audio(
    path: str | Path,
    start_ms: int | None = None,
    end_ms: int | None = None,
    sampling_rate: int = SAMPLING_RATE,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> NDArray[np.float32]:
    """Decode [start_ms, end_ms) of a file's audio to mono.

    Returns:
        float32 [N] in [-1, 1), 16-bit steps.

    Raises:
        MediaError: "media_missing", "no_audio" or "decode_failed".
    """
    with audio_chunks(path, start_ms, end_ms, sampling_rate, timeout_s=timeout_s) as chunks:
        parts = list(chunks)
    return np.concatenate(parts)


@contextmanager
def audio_chunks(
    path: str | Path,
    start_ms: int | None = None,
    end_ms: int | None = None,
    sampling_rate: int = SAMPLING_RATE,
    chunk_samples: int = 60 * SAMPLING_RATE,
    fingerprint_path: Path | None = None,
    fingerprint_ms: int = 120_000,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Iterator[Iterator[NDArray[np.float32]]]:
    """Decode a file's audio in pieces, so that an hours-long file needs the memory of one piece.

    Args:
        path: the media file.
        start_ms: where to begin, from the file's start.
        end_ms: where to stop.
        sampling_rate: of the samples, in Hz.
        chunk_samples: samples in each piece but the last.
        fingerprint_path: where ffmpeg writes the Chromaprint fingerprint from the same decoding, if anywhere.
        fingerprint_ms: how much of the file's beginning goes into the fingerprint.
        timeout_s: after this, ffmpeg is killed and the file counts as not decodable.

    Yields:
        An iterator of float32 [chunk_samples] in [-1, 1), mono.

    Raises:
        MediaError: "media_missing", "no_audio" or "decode_failed" (nothing could be decoded).
    """
    outputs = [_pcm_output(path, start_ms, end_ms, sampling_rate)]
    if fingerprint_path is not None:
        outputs.append(_fingerprint_output(path, fingerprint_path, fingerprint_ms))
    with tempfile.TemporaryFile() as errors, _running(outputs, errors, timeout_s) as process:
        assert process.stdout is not None
        yield _read_chunks(process, process.stdout, errors, path, chunk_samples)


def encode_thumbnail(path: str | Path, at_ms: int, width: int = 240) -> bytes:
    """A JPEG picture of the frame at `at_ms`, for people to look at.

    Raises:
        MediaError: "media_missing" or "decode_failed".
    """
    picture = {"format": "image2pipe", "vcodec": "mjpeg", "vframes": 1, "vf": f"scale={width}:-2", "q:v": 6}
    return _encode(_open_input(path, at_ms).output("pipe:1", **picture, **_REPEATABLE), path)


def encode_speech(path: str | Path, start_ms: int, end_ms: int) -> bytes:
    """[start_ms, end_ms) of a file's audio as MP3, 24 kbit/s mono, which every browser plays.

    Raises:
        MediaError: "media_missing" or "decode_failed".
    """
    sound = {"format": "mp3", "acodec": "libmp3lame", "ar": SAMPLING_RATE, "ac": 1, "b:a": "24k"}
    length = {"t": f"{(end_ms - start_ms) / 1000:.3f}", "map": "0:a:0"}
    return _encode(_open_input(path, start_ms).output("pipe:1", **sound, **length, **_REPEATABLE), path)


_REPEATABLE = {"map_metadata": -1, "fflags": "+bitexact", "flags": "+bitexact"}


def _encode(output: Any, path: str | Path) -> bytes:
    with tempfile.TemporaryFile() as errors, _running([output], errors, PROBE_TIMEOUT_S) as process:
        assert process.stdout is not None
        encoded = process.stdout.read()
        process.wait()
        if not encoded:
            errors.seek(0)
            raise MediaError("decode_failed", f"{Path(path).name}: {last_line(errors.read().decode(errors='replace'))}")
        return encoded


def _read_chunks(
    process: subprocess.Popen[bytes], stdout: IO[bytes], errors: IO[bytes], path: str | Path, chunk_samples: int
) -> Iterator[NDArray[np.float32]]:
    num_samples = 0
    while data := stdout.read(chunk_samples * BYTES_PER_SAMPLE):
        samples = np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2")
        num_samples += len(samples)
        yield samples.astype(np.float32) / np.float32(32768)
    return_code = process.wait()
    if return_code < 0:
        raise MediaError("decode_failed", f"ffmpeg was stopped at its time limit on {Path(path).name}")
    if num_samples == 0:
        _raise_no_samples(path, errors)


def _raise_no_samples(path: str | Path, errors: IO[bytes]) -> None:
    if probe_media(path).audio_codec is None:
        raise MediaError("no_audio", f"no audio stream in {Path(path).name}")
    errors.seek(0)
    raise MediaError("decode_failed", last_line(errors.read().decode(errors="replace")))


@contextmanager
def _running(outputs: list[Any], errors: IO[bytes], timeout_s: float) -> Iterator[subprocess.Popen[bytes]]:
    command = ffmpeg.compile(ffmpeg.merge_outputs(*outputs), cmd=[ffmpeg_path(), "-nostdin", "-v", "error", "-y"])
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _pcm_output(path: str | Path, start_ms: int | None, end_ms: int | None, sampling_rate: int) -> Any:
    stream = _open_input(path, start_ms)
    length = {} if end_ms is None else {"t": f"{max(end_ms - (start_ms or 0), 0) / 1000:.3f}"}
    return stream.output("pipe:1", format="s16le", acodec="pcm_s16le", ar=sampling_rate, ac=1, **length)


def _fingerprint_output(path: str | Path, fingerprint_path: Path, fingerprint_ms: int) -> Any:
    options = {"format": "chromaprint", "fp_format": "raw", "ac": 1, "ar": 11025, "t": f"{fingerprint_ms / 1000:.3f}"}
    return _open_input(path, None).output(f"file:{fingerprint_path.resolve()}", **options)


def _open_input(path: str | Path, start_ms: int | None) -> Any:
    seek = {} if start_ms is None else {"ss": f"{start_ms / 1000:.3f}"}
    safety = {"protocol_whitelist": "file,pipe", "format_whitelist": CONTAINERS}
    return ffmpeg.input(f"file:{_existing(path)}", threads=1, **safety, **seek)


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise MediaError("media_missing", f"no file {Path(path).name}")
    return Path(path).resolve()


def _header_report(path: str | Path, *extra: str) -> str:
    """What ffmpeg prints about a file; it has no ffprobe beside it."""
    source = ["-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS, "-i", f"file:{_existing(path)}"]
    command = [ffmpeg_path(), "-nostdin", "-hide_banner", *source, *extra]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MediaError("decode_failed", f"no header of {Path(path).name} in {PROBE_TIMEOUT_S:.0f} s") from error
    return done.stderr.decode(errors="replace")


def _parse_duration_ms(report: str, path: str | Path) -> int:
    found = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", report)
    if found is None:
        times = re.findall(r"time=(\d+):(\d\d):(\d\d\.\d+)", _header_report(path, "-f", "null", "-"))
        if not times:
            raise MediaError("decode_failed", f"no duration in {Path(path).name}")
        hours, minutes, seconds = times[-1]
    else:
        hours, minutes, seconds = found.groups()
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)


def _stream_line(report: str, kind: str) -> str | None:
    found = re.search(rf"^\s*Stream #0:\d+.*?: {kind}: (.*)$", report, re.MULTILINE)
    return found[1] if found else None


def _codec_of(stream_line: str | None) -> str | None:
    found = re.match(r"[A-Za-z0-9_]+", stream_line or "")
    return None if found is None or found[0] == "none" else found[0]


def last_line(text: str) -> str:
    """The last line that is not empty, at most 300 characters: what a program complained about."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"
