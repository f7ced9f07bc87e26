"""From speech segments to clips: pure arithmetic on integer milliseconds, intervals half-open."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from datasets.ids import make_clip_id
from datasets.outcomes import OK, dropped
from datasets.settings import IN_RECIPE_WHEN_SET, Settings

Interval = tuple[int, int]
SegmentLike = Mapping[str, Any] | tuple[str, int, int]
"""A row of the table segments, or (label, start_ms, end_ms)."""


class ClipSettings(Settings):
    """Which stretches of speech become clips."""

    min_ms: int = Field(default=5000, ge=1)
    """Shortest clip, in ms, inclusive (the paper's 5 s)."""
    max_ms: int = Field(default=50000, ge=1)
    """Longest clip, in ms, inclusive (the paper's 50 s)."""
    bridge_gap_ms: int = Field(default=0, ge=0, le=10_000)
    """Longest pause without energy, in ms, over which speech is one clip; never over music or noise. 0 is the paper's
    words taken literally; the segmenter ends a segment at every pause of about half a second."""
    too_long: Literal["drop", "cut"] = "drop"
    """What happens to speech over `max_ms`: dropped, or cut at its longest bridged pause until it fits."""
    whole_videos: bool = False
    """One clip of a video that has speech, from its first to its last millisecond: what pre-training draws windows
    from. `max_ms` must allow it."""

    given: Annotated[bool, IN_RECIPE_WHEN_SET] = False
    """The clips are those that the table `source.ids_file` names by their times: nothing is segmented, whatever their
    length."""

    @model_validator(mode="after")
    def _order_bounds(self) -> "ClipSettings":
        if self.max_ms < self.min_ms:
            raise ValueError(f"clips.max_ms must be at least clips.min_ms ({self.min_ms}), got {self.max_ms}")
        return self


@dataclass(frozen=True)
class _Stretch:
    """Speech intervals that belong together; between neighbours lies a bridged pause."""

    parts: tuple[Interval, ...]

    @property
    def start_ms(self) -> int:
        return self.parts[0][0]

    @property
    def end_ms(self) -> int:
        return self.parts[-1][1]

    @property
    def length_ms(self) -> int:
        return self.end_ms - self.start_ms

    @property
    def speech_ms(self) -> int:
        return sum(end - start for start, end in self.parts)


def cut_clips(
    video_id: str, segments: Iterable[SegmentLike], settings: ClipSettings, duration_ms: int | None = None
) -> list[dict[str, Any]]:
    """Turn one video's segments into rows of the table clips.

    Args:
        video_id: of all segments.
        segments: in any order; they may overlap, and speech counts once.
        settings: the bounds and what may be joined.
        duration_ms: of the video; nothing reaches beyond it.

    Returns:
        A row for each stretch of speech, in order of time: ok, or dropped as clip_too_short or clip_too_long. A video
        without speech gives one row [0, duration_ms) dropped as no_speech.
    """
    by_label = _group_by_label(segments, duration_ms)
    stretches = _bridge_pauses(by_label, settings.bridge_gap_ms)
    if settings.whole_videos or not stretches:
        last_ms = max((end for intervals in by_label.values() for _, end in intervals), default=0)
        end_ms = last_ms if duration_ms is None else duration_ms
        speech_ms = sum(end - start for start, end in by_label["speech"])
        outcome = _outcome_of_length(end_ms, settings) if stretches else dropped("no_speech")
        return [_make_row(video_id, {"start_ms": 0, "end_ms": end_ms, "speech_ms": speech_ms}, outcome)]
    if settings.too_long == "cut":
        stretches = [piece for stretch in stretches for piece in _cut_at_pauses(stretch, settings.max_ms)]
    return [
        _make_row(
            video_id,
            {"start_ms": stretch.start_ms, "end_ms": stretch.end_ms, "speech_ms": stretch.speech_ms},
            _outcome_of_length(stretch.length_ms, settings),
        )
        for stretch in stretches
    ]


def _group_by_label(segments: Iterable[SegmentLike], duration_ms: int | None) -> dict[str, list[Interval]]:
    """Label to its intervals within the video: sorted, joined where they touch or overlap."""
    found: dict[str, list[Interval]] = {"speech": []}
    for segment in segments:
        label, start, end = (
            (segment["label"], segment["start_ms"], segment["end_ms"]) if isinstance(segment, Mapping) else segment
        )
        start, end = max(0, start), end if duration_ms is None else min(end, duration_ms)
        if start < end:
            found.setdefault(label, []).append((start, end))
    by_label: dict[str, list[Interval]] = {}
    for label, intervals in found.items():
        united = by_label[label] = []
        for start, end in sorted(intervals):
            if united and start <= united[-1][1]:
                united[-1] = (united[-1][0], max(end, united[-1][1]))
            else:
                united.append((start, end))
    return by_label


def _bridge_pauses(by_label: dict[str, list[Interval]], bridge_gap_ms: int) -> list[_Stretch]:
    silences = by_label.get("no_energy", [])
    sounds = [interval for label in ("music", "noise") for interval in by_label.get(label, [])]
    stretches: list[list[Interval]] = []
    for part in by_label["speech"]:
        start, end = stretches[-1][-1][1] if stretches else 0, part[0]
        # A pause is bridged when it is short enough, all of it is without energy, and nothing else sounds in it.
        if (
            stretches
            and end - start <= bridge_gap_ms
            and any(low <= start and end <= high for low, high in silences)
            and not any(low < end and start < high for low, high in sounds)
        ):
            stretches[-1].append(part)
        else:
            stretches.append([part])
    return [_Stretch(tuple(parts)) for parts in stretches]


def _cut_at_pauses(stretch: _Stretch, max_ms: int) -> list[_Stretch]:
    """Cut at the longest pause (the one nearest the middle among equals) until each piece fits or has no pause."""
    if stretch.length_ms <= max_ms or len(stretch.parts) == 1:
        return [stretch]
    middle = stretch.start_ms + stretch.end_ms
    gaps = [(before[1], after[0]) for before, after in pairwise(stretch.parts)]
    cut = max(range(len(gaps)), key=lambda index: (gaps[index][1] - gaps[index][0], -abs(sum(gaps[index]) - middle)))
    pieces = (_Stretch(stretch.parts[: cut + 1]), _Stretch(stretch.parts[cut + 1 :]))
    return [part for piece in pieces for part in _cut_at_pauses(piece, max_ms)]


def _outcome_of_length(length_ms: int, settings: ClipSettings) -> dict[str, Any]:
    if length_ms < settings.min_ms:
        return dropped("clip_too_short", f"{length_ms} ms")
    if length_ms > settings.max_ms:
        return dropped("clip_too_long", f"{length_ms} ms")
    return OK


def _make_row(video_id: str, times: dict[str, int], outcome: dict[str, Any]) -> dict[str, Any]:
    clip_id = make_clip_id(video_id, times["start_ms"], times["end_ms"])
    return {"clip_id": clip_id, "video_id": video_id, **times, **outcome}
