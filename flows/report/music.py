"""What music costs: speech that the segmenter may have called music or noise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from extract.media import MediaError
from extract.speech import segment_speech
from extract.speech_settings import SpeechSettings
from flows.report.strips import Span, overlap_ms

LABELS = ("speech", "music", "noise", "no_energy")
NEAR_SPEECH_MS = 10_000
"""Music or noise in a pause of speech no longer than this is counted as suspicious."""


def sum_labels(segments: pd.DataFrame) -> dict[str, int]:
    """Milliseconds of each label over all videos; columns label, start_ms, end_ms."""
    lengths = (segments["end_ms"] - segments["start_ms"]).groupby(segments["label"]).sum()
    return {label: int(lengths.get(label, 0)) for label in LABELS}


def sum_between_speech(segments: pd.DataFrame, longest_ms: int = NEAR_SPEECH_MS) -> dict[str, int]:
    """Milliseconds of music and of noise inside pauses of speech of at most `longest_ms`.

    A pause lies between two speech segments of one video that follow each other; whatever else is in it counts
    towards its length.

    Args:
        segments: columns video_id, start_ms, end_ms, label; in any order.
        longest_ms: longest pause that counts, inclusive.
    """
    ordered = segments.sort_values(["video_id", "start_ms"], ignore_index=True)
    speech = ordered[ordered["label"] == "speech"]
    next_start = speech.groupby("video_id")["start_ms"].shift(-1)
    is_short = (next_start - speech["end_ms"] <= longest_ms).reindex(ordered.index, fill_value=False)
    is_speech = (ordered["label"] == "speech").to_numpy()
    last_speech = np.maximum.accumulate(np.where(is_speech, np.arange(len(ordered)), -1)) if len(ordered) else []
    same_video = ordered["video_id"].to_numpy()[last_speech] == ordered["video_id"].to_numpy()
    in_pause = same_video & is_short.to_numpy()[last_speech] & (np.asarray(last_speech) >= 0)
    inside = sum_labels(ordered[in_pause])
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


def compare_networks(videos: Iterable[tuple[Path, pd.DataFrame]], own: str, settings: SpeechSettings) -> Comparison:
    """Run the network that did not make the tables on media files, and cross its labels with the tables'.

    Args:
        videos: media file, and the video's segments as the tables hold them.
        own: network of the tables, "smn" or "sm".
        settings: how to run; its network is replaced.
    """
    other = "sm" if own == "smn" else "smn"
    settings = SpeechSettings.model_validate({**settings.model_dump(), "network": other})
    confusion = {(first, second): 0 for first in LABELS for second in LABELS}
    num_videos = num_unreadable = 0
    for path, segments in videos:
        try:
            found = segment_speech(path, settings=settings)
        except MediaError:
            num_unreadable += 1
            continue
        num_videos += 1
        add_confusion(confusion, spans_by_label(segments), _spans_of(found))
    return Comparison(own, other, num_videos, num_unreadable, confusion)


def spans_by_label(segments: pd.DataFrame) -> dict[str, list[Span]]:
    """One video's segments as sorted spans by label."""
    ordered = segments.sort_values("start_ms")
    return _spans_of(zip(ordered["label"], ordered["start_ms"], ordered["end_ms"], strict=True))


def _spans_of(segments: Iterable[tuple[str, Any, Any]]) -> dict[str, list[Span]]:
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
