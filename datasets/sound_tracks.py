"""Which sound track of a file is heard: one rule, for everything that opens media."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class SoundTrack:
    """What a container says of one of its sound tracks."""

    index: int
    """Among all streams of the container."""
    language: str | None
    is_original: bool
    """Marked as the original, where others are dubbed."""
    is_default: bool
    num_channels: int


def choose_track(tracks: Iterable[SoundTrack], language: str | None = None) -> int | None:
    """Index of the track that is heard; None without any.

    In the original language first, then the default one, then that with the most channels, then the lowest index.

    Args:
        tracks: those that can be decoded.
        language: the original one where it is known from elsewhere, written as in the tracks.
    """

    def rank(track: SoundTrack) -> tuple[bool, bool, bool, int, int]:
        is_spoken = language is not None and track.language == language
        return is_spoken, track.is_original, track.is_default, track.num_channels, -track.index

    best = max(tracks, key=rank, default=None)
    return None if best is None else best.index
