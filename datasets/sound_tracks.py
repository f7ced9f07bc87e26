"""Which sound track of a file is heard: one rule, for everything that opens media."""

from collections.abc import Collection, Iterable
from typing import Any

# Of libavformat's stream dispositions.
DEFAULT, ORIGINAL = 1, 4


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
