"""The waveform of a clip: the one sound track that is heard, on the clip's clock."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from datasets.media.container import open_media
from datasets.media.restarts import MOST_GUESSED_S
from datasets.media.tracks import choose_sound
from datasets.media.waveforms import Waveform, first_tick, may_be_late, trim_filters
from datasets.outcomes import MediaError
from features.frames.decoded import Float32
from features.frames.demuxer import Demuxer
from features.frames.times import ClipTimes


def read_waveform(path: str | Path) -> Float32:
    """All samples of a sound or video file, mono, 16 kHz, float32 [N].

    Raises:
        MediaError: with reason media_missing, no_audio or decode_failed.
    """
    with open_media(path) as container:
        stream = choose_sound(container)
        if stream is None:
            raise MediaError("no_audio", f"{Path(path).name} has no audio stream")
        times = ClipTimes.of(container, None, None)
        sound, demuxer = Sound(stream, times), Demuxer(container, [stream], times)
        for _, frame in demuxer.frames():
            sound.push(frame)
        sound.finish()
        if demuxer.num_damaged or sound.waveform.num_samples == sound.waveform.num_silent:
            raise MediaError("decode_failed", f"{Path(path).name}: {demuxer.num_damaged} damaged packets of sound")
        return sound.take()


class Sound:
    """The waveform of a clip, from the frames of its sound track; of no samples without a track."""

    def __init__(self, stream: Any, times: ClipTimes) -> None:
        self.stream, self.times = stream, times
        begins = None if stream is None else first_tick(stream)
        origin_s = None if begins is None else times.clock(stream).ms(begins) / 1000
        self.waveform = Waveform("flt", trim_filters(times.clip_ms) if times.is_range else [], origin_s)

    def push(self, frame: Any) -> bool:
        """Put a frame in; whether the stream has now given all of the clip."""
        tick = self.times.clock(self.stream).tick
        late = round(Fraction(MOST_GUESSED_S) / tick) if may_be_late(frame, float(self.stream.time_base)) else 0
        frame.pts = time = self.times.to_clip_time(self.stream, frame.pts, frame.duration)
        frame.time_base = tick
        self.waveform.push(frame)
        return self.times.is_past(self.stream, time - late)

    def push_counted(self, path: Path) -> int:
        """Put in all frames from the file's beginning on, where only they tell the time; how many were damaged."""
        with open_media(path) as container:
            stream = container.streams[self.stream.index]
            demuxer = Demuxer(container, [stream], self.times)
            for _, frame in demuxer.frames():
                if self.push(frame):
                    demuxer.close(stream)
            return demuxer.num_damaged

    def finish(self) -> None:
        """No frame comes any more: what the clip lacks at its end is silence."""
        if self.stream is not None:
            self.waveform.finish(self.times.clip_ms)

    def take(self) -> Float32:
        """Samples since the last time."""
        return self.waveform.take()
