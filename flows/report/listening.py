"""The listening sheet: clips drawn for people to judge, and what their answers say about all clips."""

from dataclasses import dataclass

import pandas as pd

from datasets.ids import make_clip_id
from datasets.seeded_order import drawn_by
from datasets.wording import format_clock
from flows.report.links import clip_fragment

NUM_SAMPLES = 30


@dataclass(frozen=True)
class Sample:
    """One clip of the sheet."""

    clip_id: str
    video_id: str
    middle_ms: int
    split: str
    title: str
    text: str
    href: str


def draw_samples(
    kept: pd.DataFrame, links: dict[str, str | None], titles: dict[str, str], num_samples: int = NUM_SAMPLES
) -> list[Sample]:
    """The first clips in the order of a hash of their ids, among those whose media are here: a draw that repeats.

    Args:
        kept: clips with video_id, start_ms, end_ms, split.
        links: video_id to its media.
        titles: video_id to its title.
        num_samples: at most so many.
    """
    here = kept[kept["video_id"].astype(str).map(lambda video_id: links.get(video_id) is not None).astype(bool)]
    spans = here[["video_id", "start_ms", "end_ms", "split"]].astype({"video_id": str, "split": str})
    rows = [(make_clip_id(v, int(a), int(b)), v, int(a), int(b), s) for v, a, b, s in spans.itertuples(index=False)]
    rows.sort(key=lambda row: drawn_by(row[0]))
    samples = []
    for clip_id, video_id, start_ms, end_ms, split in rows[:num_samples]:
        text = f"{format_clock(start_ms)}, {(end_ms - start_ms) / 1000:.1f} s, {split or 'in no split'}"
        href = f"{links[video_id]}{clip_fragment(start_ms, end_ms)}"
        samples.append(
            Sample(clip_id, video_id, (start_ms + end_ms) // 2, split, titles.get(video_id) or video_id, text, href)
        )
    return samples
