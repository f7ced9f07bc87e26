"""Which sound track of a file is heard: one rule, for everything that opens media."""

from collections.abc import Iterable
from typing import Any

# Of libavformat's stream dispositions.
DEFAULT, ORIGINAL = 1, 4


def choose_track(streams: Iterable[Any], language: str | None = None, wanted: int | None = None) -> int | None:
    """Index of the stream that is heard; None without any that can be decoded.

    In the original language first, then the default one, then that with the most channels, then the lowest index.

    Args:
        streams: the sound tracks of an open container: index, language, disposition, codec_context (None where there is
            no decoder).
        language: the original one, where it is known from elsewhere.
        wanted: index of one that was chosen before; it counts where there still is such a track.
    """

    def rank(stream: Any) -> tuple[bool, bool, bool, bool, int, int]:
        flags = int(stream.disposition)
        is_spoken = language is not None and stream.language == language
        channels = stream.codec_context.channels
        return stream.index == wanted, is_spoken, bool(flags & ORIGINAL), bool(flags & DEFAULT), channels, -stream.index

    best = max((stream for stream in streams if stream.codec_context is not None), key=rank, default=None)
    return None if best is None else int(best.index)
