"""Which tracks of a file are seen and heard, and from where sound must be read: one rule, for all that open media."""

from collections.abc import Collection
from typing import Any

# Of libavformat's stream dispositions.
DEFAULT, ORIGINAL, COVER = 0x1, 0x4, 0x400
_BESIDE = 0x2 | 0x8 | 0x20 | 0x100 | 0x200 | 0x20000
"""Marked as a dub, commentary, karaoke, for people who do not see, effects alone, a description."""
# Of libavformat: their readers reckon times after a seek from bytes, by rates that are rounded.
_RECKONED = frozenset({"avi", "wav", "w64", "aiff"})
_DEFAULT_PIXELS = 5_000_000
"""So many the default flag is worth (map_auto_video of fftools/ffmpeg_mux_init.c)."""


def moving_pictures(container: Any) -> list[Any]:
    """The video streams that are no cover pictures."""
    return [stream for stream in container.streams.video if not int(stream.disposition) & COVER]


def choose_picture(container: Any) -> Any:
    """The video stream that ffmpeg picks: no cover picture, the default one or the largest; None without a decoder."""
    return max(
        (stream for stream in moving_pictures(container) if stream.codec_context is not None),
        key=lambda stream: stream.width * stream.height + _DEFAULT_PIXELS * bool(int(stream.disposition) & DEFAULT),
        default=None,
    )


def choose_sound(container: Any, spoken: Collection[int] = (), wanted: int | None = None) -> Any:
    """The stream that is heard; None without any that can be decoded.

    In the original language first, then no dub or commentary, then the default one, then that with the most channels,
    then the lowest index.

    Args:
        container: an open media file.
        spoken: indices of the sound tracks in the original language, where that is known from elsewhere.
        wanted: index of one that was chosen before; it counts where there still is such a track.
    """

    def rank(stream: Any) -> tuple[bool | int, ...]:
        flags = int(stream.disposition)
        is_original, is_main, is_default = bool(flags & ORIGINAL), not flags & _BESIDE, bool(flags & DEFAULT)
        found = stream.index == wanted, stream.index in spoken, is_original, is_main, is_default
        return *found, stream.codec_context.channels, -stream.index

    return max((s for s in container.streams.audio if s.codec_context is not None), key=rank, default=None)


def is_counted(stream: Any) -> bool:
    """Whether only the samples before it tell the time of a sample: a sound track to read from the beginning."""
    name: str = stream.container.format.name
    codec: str = stream.codec_context.name
    if name in _RECKONED:
        return not codec.startswith("pcm_")  # so many bytes for each sample
    # Of program streams libavformat finds packs, not packets; of FLAC in Ogg it takes a page's end for its beginning;
    # bare AAC has no times.
    return name in ("mpeg", "aac") or (name == "ogg" and codec == "flac")
