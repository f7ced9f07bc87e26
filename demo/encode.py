"""The demo's ffmpeg door: frames and a waveform into an mp4, whole or not at all, the same bytes every time."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
from scipy.io import wavfile

from demo.pictures import HEIGHT, WIDTH
from demo.sound import SAMPLING_RATE, Waveform

FPS = 10
END_TIME_LIMIT_S = 60
UNFINISHED_PREFIX = ".render-"
"""Folders beside the videos that a killed run may leave; the next run removes them."""


def encode_video(path: Path, frames: Iterable[bytes], waveform: Waveform | None) -> None:
    """Write an H.264/AAC mp4 of 240x180 at 10 fps; `path` appears only when it is complete.

    Args:
        path: where the video goes.
        frames: RGB bytes, 240 * 180 * 3 each.
        waveform: float32 [N] at 16 kHz; None: a video without an audio stream.

    Raises:
        RuntimeError: ffmpeg failed; holds its last words.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED_PREFIX) as folder:
        unfinished = Path(folder) / "video.mp4"
        sources = [ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{WIDTH}x{HEIGHT}", r=FPS)]
        if waveform is not None:
            sound = Path(folder) / "sound.wav"
            wavfile.write(sound, SAMPLING_RATE, np.clip(waveform * 32767, -32768, 32767).astype(np.int16))
            sources.append(ffmpeg.input(str(sound)))
        _run_encoder(ffmpeg.output(*sources, str(unfinished), **_options(waveform is not None)), frames)
        unfinished.replace(path)


def _options(has_sound: bool) -> dict[str, str | int]:
    """One thread and no version strings: two runs give the same bytes."""
    options: dict[str, str | int] = {
        "vcodec": "libx264",
        "preset": "ultrafast",
        "crf": 27,
        "pix_fmt": "yuv420p",
        "g": 30,
        "threads": 1,
        "map_metadata": -1,
        "fflags": "+bitexact",
        "flags:v": "+bitexact",
        "movflags": "+faststart",
        "loglevel": "error",
    }
    if has_sound:
        options |= {"acodec": "aac", "aac_coder": "fast", "audio_bitrate": "48k", "flags:a": "+bitexact"}
    return options


def _run_encoder(stream: "ffmpeg.nodes.OutputStream", frames: Iterable[bytes]) -> None:
    command = ffmpeg.compile(stream, cmd=imageio_ffmpeg.get_ffmpeg_exe(), overwrite_output=True)
    with tempfile.TemporaryFile() as words:
        encoder = subprocess.Popen([command[0], "-nostdin", *command[1:]], stdin=subprocess.PIPE, stderr=words)
        try:
            _feed(encoder, frames)
            encoder.wait(timeout=END_TIME_LIMIT_S)
        finally:
            if encoder.poll() is None:
                encoder.kill()
                encoder.wait()
        if encoder.returncode:
            words.seek(0)
            raise RuntimeError(f"ffmpeg could not encode: {words.read().decode(errors='replace').strip()[-300:]}")


def _feed(encoder: "subprocess.Popen[bytes]", frames: Iterable[bytes]) -> None:
    """Write every frame; an encoder that has gone away says why through its exit code."""
    assert encoder.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        for frame in frames:
            encoder.stdin.write(frame)
    with contextlib.suppress(BrokenPipeError):
        encoder.stdin.close()
