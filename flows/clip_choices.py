"""How many clips other settings would give: the arithmetic of clips over the same segments."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from datasets.seeded_order import drawn_by
from datasets.tables import read_run
from extract.clips import ClipSettings, cut_clips
from flows.config import Config
from flows.status import read_frame

BRIDGE_GAPS_MS = (0, 300, 500, 700, 1000)
MOST_VIDEOS = 500


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
    counted = []
    for choice in (
        settings.model_copy(update={"bridge_gap_ms": g, "too_long": t}) for g in gaps for t in ("drop", "cut")
    ):
        lengths = [
            clip["end_ms"] - clip["start_ms"]
            for video_id, spans in labelled.items()
            for clip in cut_clips(video_id, spans, choice, int(durations_ms[video_id]))
            if clip["status"] == "ok"
        ]
        is_ours = choice == settings
        counted.append(Choice(choice.bridge_gap_ms, choice.too_long, is_ours, len(lengths), sum(lengths)))
    return counted


def read_choices(config: Config) -> tuple[list[dict[str, Any]], int]:
    """Clips that other settings would give, as records for a data card, and the number of videos counted."""
    segments = read_frame(config.root, "segments", ["video_id", "start_ms", "end_ms", "label"])
    segmented = read_frame(config.root, "segmentations", ["video_id", "duration_ms"])
    choices = [asdict(choice) for choice in count_own_choices(config, segments, segmented)] if len(segmented) else []
    return choices, min(len(segmented), MOST_VIDEOS)


def count_own_choices(config: Config, segments: pd.DataFrame, segmented: pd.DataFrame) -> list[Choice]:
    """Over a sample of the videos, so that a large root does not wait for arithmetic; ours is what cut the clips."""
    sample = choose_videos(segmented["video_id"], {}, MOST_VIDEOS)
    durations = segmented.set_index(segmented["video_id"].astype(str))["duration_ms"]
    recorded = ((read_run(config.root, "clips") or {}).get("config") or {}).get("clips")
    settings = ClipSettings.model_validate(recorded) if recorded else config.clips
    return count_choices(segments, durations, sample, settings)


def choose_videos(video_ids: Iterable[str], links: dict[str, str | None], num_videos: int) -> list[str]:
    """At most `num_videos` ids in the order of a hash of the id, those with local media first."""
    return sorted(video_ids, key=lambda v: (links.get(v) is None, drawn_by(v)))[:num_videos]
