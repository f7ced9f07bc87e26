"""How many clips other settings would give: the arithmetic of clips over the same segments."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from extract.clips import ClipSettings, cut_clips

BRIDGE_GAPS_MS = (0, 300, 500, 700, 1000)


@dataclass(frozen=True)
class Choice:
    """Clips that one setting gives."""

    bridge_gap_ms: int
    too_long: str
    is_ours: bool
    num_clips: int
    length_ms: int


def count_choices(
    segments: pd.DataFrame, durations_ms: pd.Series, video_ids: Sequence[str], settings: ClipSettings
) -> list[Choice]:
    """Clips and their length for each gap to bridge, with long speech dropped or cut; the root's own setting is marked.

    Args:
        segments: video_id, start_ms, end_ms, label.
        durations_ms: of each video, by its id.
        video_ids: the videos counted.
        settings: the root's own.
    """
    own = segments[segments["video_id"].isin(video_ids)].sort_values(["video_id", "start_ms"])
    labelled = {
        str(video_id): list(rows[["label", "start_ms", "end_ms"]].itertuples(index=False, name=None))
        for video_id, rows in own.groupby("video_id", observed=True)
    }
    gaps = sorted({*BRIDGE_GAPS_MS, settings.bridge_gap_ms})
    choices = [settings.model_copy(update={"bridge_gap_ms": g, "too_long": t}) for g in gaps for t in ("drop", "cut")]
    return [_count(choice, labelled, durations_ms, choice == settings) for choice in choices]


def _count(
    choice: ClipSettings, labelled: dict[str, list[tuple[str, int, int]]], durations_ms: pd.Series, is_ours: bool
) -> Choice:
    lengths = [
        clip["end_ms"] - clip["start_ms"]
        for video_id, segments in labelled.items()
        for clip in cut_clips(video_id, segments, choice, int(durations_ms[video_id]))
        if clip["status"] == "ok"
    ]
    return Choice(choice.bridge_gap_ms, choice.too_long, is_ours, len(lengths), sum(lengths))
