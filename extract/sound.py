"""The one source of decoded sound: mono 16 kHz on the container's clock, for everything that listens.

A sample's place is its time from the container's start; where the track has nothing stands silence
(`datasets.media.waveforms` has the rules).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.media.container import open_media
from datasets.media.tracks import choose_sound
from datasets.media.waveforms import SAMPLING_RATE, Waveform, first_tick, trim_filters
from datasets.outcomes import MediaError
from extract.container import announced_ms, sound_frames

DEFAULT_TIMEOUT_S = 3600.0
SHORT_S = 1.0
"""Sound that ends before the picture by more is told."""


def read_audio(
    path: str | Path, start_ms: int | None = None, end_ms: int | None = None, audio_track: int | None = None
) -> NDArray[np.float32]:
    """Decode [start_ms, end_ms) of a file's sound to mono, 16 kHz.

    Args:
        path: the media file.
        start_ms: from the container's start.
        end_ms: where to stop; the end of the sound when not given.
        audio_track: index of the stream; chosen by the one rule when not given.

    Returns:
        float32 [N] in [-1, 1), 16-bit steps, from `start_ms` to `end_ms` or where the sound ends; silence in its gaps.

    Raises:
        MediaError: "media_missing", "no_audio" or "decode_failed" (nothing could be decoded in the range).
    """
    with audio_chunks(path, start_ms, end_ms, audio_track=audio_track) as chunks:
        return np.concatenate(list(chunks))


@contextmanager
def audio_chunks(
    path: str | Path,
    start_ms: int | None = None,
    end_ms: int | None = None,
    audio_track: int | None = None,
    chunk_samples: int = 60 * SAMPLING_RATE,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Iterator["SoundChunks"]:
    """Decode a file's sound in pieces, so that an hours-long file needs the memory of one piece.

    Args:
        path: the media file.
        start_ms: where to begin, from the container's start.
        end_ms: where to stop.
        audio_track: index of the stream; chosen by the one rule when not given.
        chunk_samples: samples in each piece but the last.
        timeout_s: after this the file counts as not decodable.

    Yields:
        An iterator of float32 [chunk_samples] in [-1, 1), mono, 16 kHz.

    Raises:
        MediaError: "media_missing", "no_audio" or "decode_failed" (nothing could be decoded).
    """
    with open_media(path) as container:
        stream = choose_sound(container, wanted=audio_track)
        if stream is None:
            raise MediaError("no_audio", f"no audio stream in {Path(path).name}")
        yield SoundChunks(container, stream, start_ms, end_ms, chunk_samples, time.monotonic() + timeout_s)


class SoundChunks(Iterator[NDArray[np.float32]]):
    """The sound of an open file, piece by piece."""

    def __init__(
        self,
        container: Any,
        stream: Any,
        start_ms: int | None,
        end_ms: int | None,
        chunk_samples: int,
        deadline_s: float,
    ) -> None:
        self.track = stream.index
        is_whole = start_ms is None and end_ms is None
        length_ms = None if end_ms is None else end_ms - (start_ms or 0)
        begins = first_tick(stream)
        origin = None if begins is None else begins * stream.time_base
        if origin is not None:
            origin -= Fraction(container.start_time or 0, 1_000_000) + Fraction(start_ms or 0, 1000)
        trim = [] if is_whole else trim_filters(length_ms)
        self.waveform = Waveform("s16", trim, None if origin is None else float(origin))
        """Complete, with what is missing in it, once all pieces were taken."""
        self._announced_ms = announced_ms(container) if is_whole else None
        frames = sound_frames(container, stream, start_ms or 0, end_ms)
        self._chunks = self._read(frames, chunk_samples, deadline_s, Path(container.name).name)

    def __next__(self) -> NDArray[np.float32]:
        return next(self._chunks).astype(np.float32) / np.float32(32768)

    def describe(self) -> str | None:
        """What people should know of the sound, once all pieces were taken; None of ordinary sound."""
        length_s, film_s = self.waveform.num_samples / SAMPLING_RATE, (self._announced_ms or 0) / 1000
        told = f"the sound ends at {length_s:.1f} of {film_s:.1f} s" if length_s < film_s - SHORT_S else None
        return "; ".join(filter(None, [self.waveform.describe(), told])) or None

    def _read(
        self, frames: Iterator[Any], chunk_samples: int, deadline_s: float, name: str
    ) -> Iterator[NDArray[np.int16]]:
        waiting = np.zeros(0, np.int16)
        num_taken = 0
        for frame in frames:
            if time.monotonic() > deadline_s:
                raise MediaError("decode_failed", f"decoding passed its time limit on {name}")
            self.waveform.push(frame)
            if self.waveform.num_samples - num_taken >= chunk_samples:
                waiting = np.concatenate([waiting, self.waveform.take()])
                while len(waiting) >= chunk_samples:
                    yield waiting[:chunk_samples]
                    waiting, num_taken = waiting[chunk_samples:], num_taken + chunk_samples
        self.waveform.finish()
        if self.waveform.num_samples == self.waveform.num_silent:
            raise MediaError("decode_failed", f"no sound could be decoded in {name}")
        waiting = np.concatenate([waiting, self.waveform.take()])
        for start in range(0, len(waiting), chunk_samples):
            yield waiting[start : start + chunk_samples]
