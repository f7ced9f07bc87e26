"""Which sound track of a file is heard, and from where it must be read: one rule, for everything that opens media."""

from collections.abc import Collection, Iterable
from typing import Any

# Of libavformat's stream dispositions.
DEFAULT, ORIGINAL = 1, 4
# Of libavformat: their readers reckon times after a seek from bytes, by rates that are rounded.
_RECKONED = frozenset({"avi", "wav", "w64", "aiff"})


def choose_track(streams: Iterable[Any], spoken: Collection[int] = (), wanted: int | None = None) -> int | None:
    """Index of the stream that is heard; None without any that can be decoded.

    In the original language first, then the default one, then that with the most channels, then the lowest index.

    Args:
        streams: the sound tracks of an open container: index, disposition, codec_context (None without a decoder).
        spoken: indices of those in the original language, where that is known from elsewhere.
        wanted: index of one that was chosen before; it counts where there still is such a track.
    """

    def rank(stream: Any) -> tuple[bool, bool, bool, bool, int, int]:
        flags = int(stream.disposition)
        channels = stream.codec_context.channels
        is_spoken = stream.index in spoken
        return stream.index == wanted, is_spoken, bool(flags & ORIGINAL), bool(flags & DEFAULT), channels, -stream.index

    best = max((stream for stream in streams if stream.codec_context is not None), key=rank, default=None)
    return None if best is None else int(best.index)


def is_counted(container: Any, stream: Any) -> bool:
    """Whether only the samples before it tell the time of a sample: a track to read from the file's beginning.

    Args:
        container: an open media file.
        stream: its sound track.
    """
    name: str = container.format.name
    codec: str = stream.codec_context.name
    if name in _RECKONED:
        return not codec.startswith("pcm_")  # so many bytes for each sample
    # Of program streams libavformat finds packs, not packets; of FLAC in Ogg it takes a page's end for its beginning.
    return name == "mpeg" or (name == "ogg" and codec == "flac")
