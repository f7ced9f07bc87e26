"""What music costs: speech that the segmenter may have called music or noise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flows.report.strips import Span, overlap_ms

LABELS = ("speech", "music", "noise", "no_energy")
NEAR_SPEECH_MS = 10_000
"""Music or noise in a pause of speech no longer than this, inclusive, is counted as suspicious."""


def sum_labels(segments: pd.DataFrame) -> dict[str, int]:
    """Milliseconds of each label over all videos; columns label, start_ms, end_ms."""
    lengths = (segments["end_ms"] - segments["start_ms"]).groupby(segments["label"], observed=True).sum()
    return {label: int(lengths.get(label, 0)) for label in LABELS}


def sum_between_speech(segments: pd.DataFrame) -> dict[str, int]:
    """Milliseconds of music and of noise inside pauses of speech of at most `NEAR_SPEECH_MS`.

    A pause lies between two speech segments of one video that follow each other; whatever else is in it counts
    towards its length.

    Args:
        segments: columns video_id, start_ms, end_ms, label; in any order.
    """
    ordered = segments.sort_values(["video_id", "start_ms"], ignore_index=True)
    speech = ordered[ordered["label"] == "speech"]
    pause_ms = speech.groupby("video_id", observed=True)["start_ms"].shift(-1) - speech["end_ms"]
    # Each row takes the pause that follows the last speech before it in its video; none gives NaN, and is not short.
    pause_ms = pause_ms.fillna(np.inf).reindex(ordered.index).groupby(ordered["video_id"], observed=True).ffill()
    inside = sum_labels(ordered[(pause_ms <= NEAR_SPEECH_MS) & (ordered["label"] != "speech")])
    return {label: inside[label] for label in ("music", "noise")}


@dataclass(frozen=True)
class Comparison:
    """Two networks asked about the same audio."""

    own: str
    """The network whose labels the tables hold."""
    other: str
    num_videos: int
    num_unreadable: int
    confusion_ms: Mapping[tuple[str, str], int]
    """(own label, other label) to milliseconds."""

    @property
    def music_share(self) -> float:
        """Share of the sample's music that the other network calls speech, in [0, 1]."""
        music = sum(ms for (own, _), ms in self.confusion_ms.items() if own == "music")
        return self.confusion_ms["music", "speech"] / music if music else 0.0


def spans_by_label(segments: pd.DataFrame) -> dict[str, list[Span]]:
    """One video's segments as sorted spans by label."""
    ordered = segments.sort_values("start_ms")
    return group_spans(zip(ordered["label"], ordered["start_ms"], ordered["end_ms"], strict=True))


def group_spans(segments: Iterable[tuple[str, Any, Any]]) -> dict[str, list[Span]]:
    """(label, start_ms, end_ms) by label, in the order given; every label has a list."""
    spans: dict[str, list[Span]] = {label: [] for label in LABELS}
    for label, start_ms, end_ms in segments:
        spans[label].append((int(start_ms), int(end_ms)))
    return spans


def add_confusion(
    confusion: dict[tuple[str, str], int], own: Mapping[str, list[Span]], other: Mapping[str, list[Span]]
) -> None:
    """Add to `confusion` the milliseconds that one video spends in each pair of labels."""
    for first, second in confusion:
        confusion[first, second] += overlap_ms(own[first], other[second])
