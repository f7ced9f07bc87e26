"""Videos as label strips: everything that the page draws of each."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from datasets.wording import format_clock
from flows.report.links import clip_fragment, keep_web_address
from flows.report.music import LABELS, spans_by_label, sum_labels
from flows.report.strips import LABEL_HEIGHTS, Span, cut_to_row, draw_label, place_on_row, split_rows


@dataclass(frozen=True)
class Clip:
    """A kept clip, or a dropped one when `reason` is set."""

    span: Span
    split: str
    reason: str | None
    href: str | None
    text: str


@dataclass(frozen=True)
class Row:
    """One row of a strip."""

    span: Span
    paths: dict[str, str]
    """Label to SVG path."""
    clips: list[tuple[Clip, str, str]]
    """Clips on this row, with left edge and width."""

    @property
    def length_ms(self) -> int:
        """Width of the row's drawing."""
        return self.span[1] - self.span[0]


@dataclass(frozen=True)
class Strip:
    """One video of the page."""

    video_id: str
    title: str
    url: str | None
    media: str | None
    duration_ms: int
    label_ms: dict[str, int]
    rows: list[Row]
    clips: list[Clip]

    @property
    def kept(self) -> list[Clip]:
        """Its clips without the dropped ones."""
        return [clip for clip in self.clips if clip.reason is None]

    @property
    def middle_ms(self) -> int:
        """A moment that shows what it is about: the middle of its first clip, else of all."""
        start_ms, end_ms = self.kept[0].span if self.kept else (0, self.duration_ms)
        return (start_ms + end_ms) // 2

    @property
    def text(self) -> str:
        """The strip in words."""
        labels = ", ".join(f"{label.replace('_', ' ')} {format_clock(ms)}" for label, ms in self.label_ms.items())
        kept = "1 clip" if len(self.kept) == 1 else f"{len(self.kept)} clips"
        return f"{format_clock(self.duration_ms)} in all: {labels}; {kept} kept"


def make_strip(
    video_id: str, video: dict[str, Any], media: str | None, segments: pd.DataFrame, clips: pd.DataFrame
) -> Strip:
    """Everything drawn for one video.

    Args:
        video_id: its id.
        video: title and url, as the web gave them; duration_ms as segmented.
        media: link to its file, if that is here.
        segments: its segments; columns start_ms, end_ms, label.
        clips: its clips; columns start_ms, end_ms, split, reason.
    """
    ends = [int(video.get("duration_ms") or 0), *segments["end_ms"], *clips["end_ms"]]
    duration_ms = max(1, *(int(end) for end in ends))
    drawn = []
    for clip in clips.sort_values("start_ms").to_dict("records"):
        start_ms, end_ms = int(clip["start_ms"]), int(clip["end_ms"])
        reason = clip["reason"] or None
        state = f"dropped: {reason}" if reason else clip["split"] or "in no split"
        text = f"{format_clock(start_ms)}, {(end_ms - start_ms) / 1000:.1f} s, {state}"
        href = media + clip_fragment(start_ms, end_ms) if media and not reason else None
        drawn.append(Clip((start_ms, end_ms), clip["split"], reason, href, text))
    spans, rows = spans_by_label(segments), []
    for row in split_rows(duration_ms):
        paths = {label: draw_label(cut_to_row(spans[label], row), LABEL_HEIGHTS[label]) for label in LABELS}
        places = ((one, place_on_row(one.span, row)) for one in drawn)
        rows.append(Row(row, paths, [(one, *place) for one, place in places if place]))
    return Strip(
        video_id,
        video.get("title") or video_id,
        keep_web_address(video.get("url")),
        media,
        duration_ms,
        sum_labels(segments),
        rows,
        drawn,
    )
