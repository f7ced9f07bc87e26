"""Read a root, fill the page, write it whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from datasets.files import join_path, write_bytes
from datasets.queries import list_facets
from datasets.tables import read_ok, read_table
from datasets.wide import widen
from flows.answers import Precision, measure_precision
from flows.clip_choices import choose_videos, count_own_choices
from flows.config import REPORT_FILE, Config
from flows.machinery.roots import check_has_tables
from flows.report.agreement import read_agreement
from flows.report.figures import count_lengths, read_provenance, sum_splits
from flows.report.heading import read_heading
from flows.report.label_strips import Strip, make_strip
from flows.report.links import link_media
from flows.report.listening import draw_samples
from flows.report.look_alikes import find_look_alikes
from flows.report.music import Comparison, sum_between_speech, sum_labels
from flows.report.page import render_page
from flows.report.pictures import Frame, make_pictures
from flows.report.query_groups import group_queries
from flows.report.release_history import read_release_figures
from flows.report.rules import build_rules_page
from flows.report.spoken_words import read_words
from flows.status import (
    read_availability,
    read_failures,
    read_frame,
    read_funnel,
    read_notes,
    read_retrieval,
    read_yields,
    to_frame,
)

_MOST_YIELDS = 20


def build_report(config: Config, num_videos: int = 20, num_compared: int = 0) -> str:
    """Write ROOT/report.html: one page without server or outside assets; equal tables and media give equal bytes.

    Args:
        config: names the root, and where its media are.
        num_videos: at most so many label strips.
        num_compared: on so many videos with local media, ask the other network how much music is speech; 0 asks none.

    Returns:
        Where the page is.

    Raises:
        ConfigError: the root holds no tables.
    """
    check_has_tables(config.root)
    build_rules_page(config)
    path = join_path(config.root, REPORT_FILE)
    write_bytes(path, render_page(read_page(config, num_videos, num_compared)).encode())
    return path


def read_page(config: Config, num_videos: int, num_compared: int) -> dict[str, Any]:
    """Everything the page's template is filled with."""
    root = config.root
    columns = ["video_id", "media_path", "sha256", "audio_track"]
    media = {row["video_id"]: row for row in read_ok(root, "media", columns).to_pylist()}
    videos = read_frame(root, "videos", ["video_id", "title"])
    titles = dict(zip(videos["video_id"], videos["title"], strict=True))
    media_root = config.media_root
    links = {video_id: link_media(root, media_root, row["media_path"]) for video_id, row in media.items()}
    segments = read_frame(root, "segments", ["video_id", "start_ms", "end_ms", "label"])
    clips = _read_clips(root)
    kept = clips[clips["reason"] == ""]
    segmented = read_frame(root, "segmentations", ["video_id", "engine", "duration_ms"])
    samples = draw_samples(kept, links, titles)
    strips = list(_read_strips(root, choose_videos(segmented["video_id"], links, num_videos), links, segments, clips))
    wanted = [(sample.clip_id, sample.video_id, sample.middle_ms) for sample in samples]
    look_alikes = find_look_alikes(root)
    sides = [side for pair in look_alikes for side in pair.sides if links.get(side.video_id)]
    wanted += [(side.clip_id, side.video_id, side.middle_ms) for side in sides]
    wanted += [(strip.video_id, strip.video_id, strip.middle_ms) for strip in strips if strip.media]
    frames = {
        name: Frame(media_root / media[video_id]["media_path"], media[video_id]["sha256"], at_ms)
        for name, video_id, at_ms in wanted
    }
    compared = choose_videos((v for v in segmented["video_id"] if links.get(v)), links, num_compared)
    return {
        "heading": read_heading(config),
        "look_alikes": look_alikes,
        "pictures": make_pictures(frames, Path(root) / REPORT_FILE, config.run.num_workers),
        **_read_figures(root),
        "bars": count_lengths(kept["length_ms"]),
        "kept_ms": int(kept["length_ms"].sum()),
        "splits": sum_splits(kept),
        "choices": count_own_choices(config, segments, segmented),
        "num_segmented": len(segmented),
        "strips": strips,
        "samples": samples,
        "words": read_words(root, [sample.clip_id for sample in samples]),
        "precision": measure_precision(root, kept),
        "label_ms": sum_labels(segments),
        "between_ms": sum_between_speech(segments),
        "comparison": _compare(
            config, media_root, [media[video_id] for video_id in compared], segments, segmented["engine"]
        ),
        "agreement": read_agreement(root, links, titles),
    }


def _read_figures(root: str) -> dict[str, Any]:
    """What the page shows as the tables, runs and releases have it."""
    yields = {facet: read_yields(root, facet) for facet in list_facets(root)}
    return {
        "funnel": read_funnel(root),
        "failures": read_failures(root),
        "availability": read_availability(root),
        "notes": read_notes(root),
        "yields": {facet: f.head(_MOST_YIELDS).to_dict("records") for facet, f in yields.items() if any(f[facet])},
        "most_yields": _MOST_YIELDS,
        "retrieval": read_retrieval(root),
        "releases": read_release_figures(root),
        "query_groups": group_queries(root),
        "provenance": read_provenance(root),
    }


def read_precision(root: str) -> Precision | None:
    """What the kept listening sheets say about the clips of a root."""
    clips = _read_clips(root)
    return measure_precision(root, clips[clips["reason"] == ""])


def _read_clips(root: str) -> pd.DataFrame:
    """Clips with length_ms and split; split and reason are empty text where there is none."""
    clips = read_table(root, "clips", ["clip_id", "video_id", "start_ms", "end_ms", "reason"])
    splits = read_table(root, "splits", ["clip_id", "split"])
    split = widen(splits)["split"].take(pc.index_in(clips["clip_id"], splits["clip_id"]))
    clips = clips.drop_columns("clip_id").append_column("split", pc.fill_null(split, ""))
    clips = clips.append_column("length_ms", pc.subtract(clips["end_ms"], clips["start_ms"]))
    return to_frame(clips.set_column(3, "reason", pc.fill_null(clips["reason"], "")))


def _read_strips(
    root: str, video_ids: list[str], links: dict[str, str | None], segments: pd.DataFrame, clips: pd.DataFrame
) -> Iterator[Strip]:
    chosen = pa.array(video_ids, pa.string())
    facts: dict[str, dict[str, Any]] = {video_id: {} for video_id in video_ids}
    for name, columns in (("videos", ["title", "url"]), ("segmentations", ["duration_ms"])):
        table = read_table(root, name, ["video_id", *columns])
        for row in table.filter(pc.is_in(table["video_id"], chosen)).to_pylist():
            facts[row.pop("video_id")] |= row
    segments = segments[segments["video_id"].isin(video_ids)]
    clips = clips[clips["video_id"].isin(video_ids)]
    for video_id in video_ids:
        own_segments, own_clips = (frame[frame["video_id"] == video_id] for frame in (segments, clips))
        yield make_strip(video_id, facts[video_id], links.get(video_id), own_segments, own_clips)


def _compare(
    config: Config, media_root: Path, media: list[dict[str, Any]], segments: pd.DataFrame, engines: "pd.Series[str]"
) -> Comparison | None:
    """The other network's view of some videos; None when there are none. Engines are named like fast-smn."""
    if not media:
        return None
    from flows.report.second_opinion import compare_networks

    videos = [
        (media_root / row["media_path"], row["audio_track"], segments[segments["video_id"] == row["video_id"]])
        for row in media
    ]
    return compare_networks(videos, engines.iloc[0].rpartition("-")[2], config.speech)
