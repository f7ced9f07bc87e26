"""The waveform of a clip: the sound track that is chosen, as 16 kHz mono."""

from pathlib import Path
from typing import Any

import numpy as np

from features.frames.container import Branch, Demuxer, decodable, make_graph, open_media
from features.frames.decoded import ClipError, Float32
from features.frames.filters import SAMPLING_RATE, audio_filters, trim_filters
from features.frames.times import ClipTimes


def read_waveform(path: str | Path) -> Float32:
    """All samples of a sound or video file, mono, 16 kHz, float32 [N].

    Raises:
        ClipError: with reason media_missing, no_audio or decode_failed.
    """
    with open_media(Path(path)) as container:
        stream = pick_audio(container)
        if stream is None:
            raise ClipError("no_audio", f"{Path(path).name} has no audio stream")
        times = ClipTimes.of(container, None, None)
        sound, demuxer = Sound(stream, times), Demuxer(container, [stream], times)
        for _, frame in demuxer.frames():
            sound.push(frame)
        if demuxer.num_damaged or sound.branch is None:
            raise ClipError("decode_failed", f"{Path(path).name}: {demuxer.num_damaged} damaged packets of sound")
        sound.finish()
        return sound.take()


def pick_audio(container: Any) -> Any:
    """The sound track with the most channels; None without one."""
    return max(decodable(container.streams.audio), key=lambda stream: stream.channels, default=None)


class Sound:
    """The waveform of a clip, from the frames of its sound track."""

    def __init__(self, stream: Any, times: ClipTimes) -> None:
        self.stream, self.times = stream, times
        self.branch: Branch | None = None

    def push(self, frame: Any) -> bool:
        """Put a frame in; whether the stream has now given all of the clip."""
        frame.pts = self.times.to_clip_time(self.stream, frame.pts, frame.duration)
        if self.branch is None:
            graph = make_graph(audio_filters(frame, trim_filters("atrim", self.times)))
            graph.set_audio_frame_size(SAMPLING_RATE)
            self.branch = Branch(graph)
        self.branch.push(frame)
        return self.times.is_past(self.stream, frame.pts)

    def finish(self) -> None:
        """No frame comes any more."""
        if self.branch is not None:
            self.branch.push(None)

    def take(self) -> Float32:
        """Samples since the last time."""
        chunks = self.branch.take() if self.branch is not None else []
        return np.concatenate([chunk.reshape(-1) for chunk in chunks]) if chunks else np.zeros(0, np.float32)
