"""The packets of a clip, from a key frame before the cut on, each decoded once."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import inf
from typing import Any

from datasets.media.container import MediaFault, demux, open_media
from features.frames.times import ClipTimes

_SEEK_BACK_MS = (200, 2_000, 10_000, 60_000)
"""Seek this much before the clip: audio decoders need what precedes, and B-frames are stored late. Where there is no
index, as in MPEG-TS, a seek may land after a key frame, and is tried again from further back."""
_LEAD_MS = 1_000
"""Sound is stored this much before the picture of its time, and not more."""
_INTERLEAVED_MS = 10_000
"""Streams of one file are stored no further apart (libavformat's own max_interleave_delta)."""
_HELD_BACK = frozenset({"mpegts", "mpeg"})
"""Formats whose reader gives a picture only when it has found the next one, however late that is."""
_OF_PALETTE = "pal8"
"""Colours that libavformat gives with the first packet only, and not behind a seek: animations of QuickTime, AVI."""
_INDEXED_WHOLE = ("mov", "avi")
"""Formats that have every packet in their index, by the beginning of their name."""
_NOT_DECEIVED = frozenset({"h264", "hevc", "vp8", "vp9", "libdav1d", "ffv1", "cfhd", "png"})
"""Decoders that give no picture before a true key frame, or of which each picture is one."""
_MOST_DELAY_MS = 500
"""A picture comes on no later after it is decoded."""


class Demuxer:
    """Reads the packets of a clip's streams and decodes each once.

    Args:
        container: an open media file.
        streams: those that are wanted.
        times: the clip.
        video: that of the streams whose picture at the cut must come; none for sound alone.
    """

    def __init__(self, container: Any, streams: Iterable[Any], times: ClipTimes, video: Any = None) -> None:
        self.container, self.times, self.video = container, times, video
        self.streams = list(streams)
        self.open_streams = {stream.index for stream in self.streams}
        self.num_damaged = 0
        self._first_pts: int | None = None
        """Of the key frame after a seek: what is shown before it refers to pictures that were not decoded."""
        self._untimed: list[Any] | None = None
        """Pictures after a seek to a key frame without time, until one has a time: theirs are counted back from it."""

    def close(self, stream: Any) -> None:
        """Decode no more of a stream."""
        self.open_streams.discard(stream.index)

    def frames(self) -> Iterator[tuple[Any, Any]]:
        """Every stream and frame in the order of reading, until all streams are closed or far past the clip's end.

        Packets that cannot be decoded are counted and passed over.
        """
        # No packet of the clip can follow after it; a still under a song has none of its own past the clip's end.
        clip_ms = None if self.container.format.name in _HELD_BACK else self.times.clip_ms
        last_ms = inf if clip_ms is None else clip_ms + _INTERLEAVED_MS
        try:
            for packet in self._packets_from_cut():
                if _is_flush(packet):
                    continue
                if not self.open_streams or self._ms_after_cut(packet, packet.dts) > last_ms:
                    break
                yield from self._decode(self.container.streams[packet.stream_index], packet)
        except MediaFault:
            self.num_damaged += 1
        for stream in self.streams:
            yield from self._decode(stream, None)
        yield from ((self.video, frame) for frame in self._untimed or ())

    def _decode(self, stream: Any, packet: Any) -> Iterator[tuple[Any, Any]]:
        """The frames of a packet, or those that a decoder still holds."""
        if stream.index not in self.open_streams:
            return
        try:
            frames = stream.decode(None) if packet is None else packet.decode()
        except MediaFault:
            self.num_damaged += 1
            return
        for frame in self._count_back(frames) if stream is self.video else frames:
            if stream is not self.video or None in (frame.pts, self._first_pts) or frame.pts >= self._first_pts:
                yield stream, frame

    def _count_back(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Pictures, those that come before the first one with a time at times of their own."""
        for frame in frames:
            time = frame.dts if frame.pts is None else frame.pts
            if self._untimed is not None and time is None:
                self._untimed.append(frame)
                continue
            for number, held in enumerate(reversed(self._untimed or ()), 1):
                held.pts = time - number * frame.duration
            yield from [*(self._untimed or ()), frame]
            self._untimed = None

    def _ms_after_cut(self, packet: Any, ticks: int | None) -> float:
        """Minus infinity for a packet without time, which some containers give only to the first."""
        return -inf if ticks is None else self.times.clock(packet.stream).ms(ticks)

    def _packets_from_cut(self) -> Iterator[Any]:
        """Packets from a key frame at or before the cut on; from the start where a seek finds none."""
        if self.times.restarts is not None:
            yield from self._last_key_on(self.times.restarts.apply(demux(self.container, *self.streams)))
            return
        is_moved = False
        for back_ms in _SEEK_BACK_MS:
            if self.video is None or self.container.start_time is None or self.times.start_ms <= back_ms:
                break  # a file without times (a bare stream) has nothing to seek by
            if _is_sought_in_vain(self.video):
                break
            is_moved = True
            if not self._seek(self.times.start_ms - back_ms):
                break
            packets = demux(self.container, *self.streams)
            skipped = self._skip_to_key(packets)
            if skipped is not None:
                yield from skipped
                yield from packets
                return
        if not is_moved:
            yield from demux(self.container, *self.streams)
            return
        self._first_pts = self._untimed = None
        # Not by a seek: an index may lack its beginning, as that of Matroska below time 0.
        with open_media(self.container.name.removeprefix("file:")) as again:
            for packet in demux(again, *(again.streams[stream.index] for stream in self.streams)):
                packet.stream = self.container.streams[packet.stream.index]
                yield packet

    def _last_key_on(self, packets: Iterable[Any]) -> Iterator[Any]:
        """Without a seek: packets of the video from its last key frame before the cut on, and all of sound."""
        held: list[Any] = []
        is_past = self.video is None
        for packet in packets:
            if is_past or packet.stream_index != self.video.index:
                yield packet
                continue
            if packet.is_keyframe and self._ms_after_cut(packet, packet.pts) <= 0:
                held, self._first_pts = [], packet.pts
            held.append(packet)
            if is_past := _is_flush(packet) or self._ms_after_cut(packet, packet.dts) > 0:
                yield from held

    def _seek(self, media_ms: int) -> bool:
        """To the last key frame before a time, as far as the file knows of one; whether it can be done."""
        target = Fraction(self.times.origin_us + media_ms * 1000, 1_000_000) / self.video.time_base
        try:
            self.container.seek(int(target), stream=self.video)
        except MediaFault:
            return False
        return True

    def _skip_to_key(self, packets: Iterator[Any]) -> list[Any] | None:
        """Packets up to the video's first key frame, if that is on the screen before the cut; sound among them kept.

        Program streams have a time for some packets only: where the key frame has none, up to the next that has one.
        """
        kept: list[Any] = []
        has_key, self._untimed = False, None
        for packet in packets:
            if _is_flush(packet):
                return None
            is_video = packet.stream is self.video
            time_ms = self._ms_after_cut(packet, packet.dts if packet.pts is None else packet.pts)
            if is_video and packet.is_keyframe and not has_key:
                has_key, self._first_pts = True, packet.pts
                self._untimed = [] if time_ms == -inf else None
            if is_video and has_key and time_ms > -inf:
                return [*kept, packet] if time_ms <= (0 if self._untimed is None else -_MOST_DELAY_MS) else None
            if time_ms > (0 if is_video else _LEAD_MS):
                return None
            if has_key or not is_video:
                kept.append(packet)
        return None


def _is_sought_in_vain(video: Any) -> bool:
    """Whether pictures can be decoded from the file's beginning on only: what they need is there and nowhere else.

    So it is where an index calls all pictures key frames of a codec that has others.
    """
    codec = video.codec_context
    if codec.pix_fmt == _OF_PALETTE:
        return True
    if (
        codec.codec.intra_only
        or codec.name in _NOT_DECEIVED
        or not video.container.format.name.startswith(_INDEXED_WHOLE)
    ):
        return False
    return len(video.index_entries) > 1 and all(entry.is_keyframe for entry in video.index_entries)


def _is_flush(packet: Any) -> bool:
    """Whether a packet is PyAV's sign that a stream has ended."""
    return not packet.size and packet.pts is None and packet.dts is None
