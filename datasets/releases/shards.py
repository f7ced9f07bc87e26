"""Working tables to the shards of a release: which clips, in which shard, and the same bytes for the same rows.

Shard i of every family holds the same clips, sorted by clip_id, and tiers are the first shards of each split: tiny is
the first one, small the first few, full is all of them. So no byte is stored twice, a tier is downloaded by naming its
files, and families are joined shard by shard. Ids of videos are random on YouTube, so that the first clips by id are a
random sample of videos. Nothing in a shard tells when, where or by which code it was made.
"""

import hashlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from datasets.attempts import keep_highest_attempt
from datasets.counts import count_values
from datasets.files import write_bytes
from datasets.parts import parquet_bytes
from datasets.releases.settings import PublishSettings
from datasets.schemas import SCHEMA_VERSION, TABLES
from datasets.settings import without_secrets
from datasets.tables import current_recipe, keep_ok, read_ok, read_parts, read_run, read_table, refuse_mixed
from datasets.tombstones import hash_id
from datasets.wide import narrow, widen

SPLITS = ("train", "val", "test")
FAMILIES = ("metadata", "pooled", "features_2d", "features_3d", "log_mel")
OPTIONAL_FAMILIES = ("features_sound", "transcripts")
"""Families that a release has where its root has the table."""
TIERS = ("tiny", "small", "full")
_NO_ENCODER = "none"

_CLIP_COLUMNS = ["clip_id", "video_id", "start_ms", "end_ms", "speech_ms"]
_VIDEO_COLUMNS = ["video_id", "source", "url", "license", "title", "channel_id"]
_MEDIA_COLUMNS = [
    "video_id",
    "duration_ms",
    "num_bytes",
    "sha256",
    "format_id",
    "video_codec",
    "audio_codec",
    "width",
    "height",
    "fps",
    "audio_language",
]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ReleaseError(ValueError):
    """A release that cannot be made or read; the message says what to do."""


def read_metadata(root: str | Path, settings: PublishSettings) -> pa.Table:
    """The clip manifest of a root's splits, sorted by split and clip_id: ids, times and where media came from.

    Columns: clip_id, video_id, split, start_ms, end_ms, speech_ms, source, url, license, channel_hash, duration_ms,
    num_bytes, media_sha256, format_id, video_codec, audio_codec, width, height, fps, audio_language; and title and
    channel_id where the settings show them. Wide (`datasets.wide`). An address of this machine (the demo's site) is
    nobody else's, and null.
    """
    splits = read_ok(root, "splits", ["clip_id", "split"])
    if splits.num_rows == 0:
        raise ReleaseError(f"{root} has no splits to publish: run `python -m flows curate` first")
    clips = splits.join(read_table(root, "clips", _CLIP_COLUMNS), "clip_id")
    videos = read_table(root, "videos", _VIDEO_COLUMNS)
    rows = videos.filter(pc.is_in(videos["video_id"], clips["video_id"])).to_pylist()
    shown = ["title", "channel_id"] if settings.show_titles == "creative_commons" else []
    for row in rows:
        # Without titles and channels, but for those that a licence wants named; channels hashed; no loopback address.
        is_free = (row["license"] or "").lower().startswith(("creative commons", "cc-by", "cc by"))
        channel, title = row.pop("channel_id"), row.pop("title")
        row["channel_hash"] = hash_id("channel", channel) if channel else None
        if urlsplit(row["url"] or "").hostname in LOOPBACK:
            row["url"] = None
        row["url"] = row["url"] and without_secrets(row["url"])
        if shown:
            row |= {"title": title if is_free else None, "channel_id": channel if is_free else None}
    names = ["video_id", "source", "url", "license", "channel_hash", *shown]
    videos = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in names]))
    media = read_table(root, "media", _MEDIA_COLUMNS).rename_columns({"sha256": "media_sha256"})
    joined = clips.join(videos, "video_id").join(media, "video_id")
    order = ["clip_id", "video_id", "split", *_CLIP_COLUMNS[2:], *videos.column_names[1:], *media.column_names[1:]]
    table = widen(joined.select(order)).sort_by([("split", "ascending"), ("clip_id", "ascending")]).combine_chunks()
    if pc.any(pc.is_null(table["media_sha256"])).as_py():
        lost = table.filter(pc.is_null(table["media_sha256"]))["video_id"][0].as_py()
        raise ReleaseError(f"{root}: the splits hold clips of a video without a row in media, the first {lost}")
    return table


def count_clips(metadata: pa.Table) -> dict[str, int]:
    """Clips of each split that has any, in the order train, val, test."""
    found = count_values(metadata["split"])
    return {split: found[split] for split in SPLITS if split in found}


def families_of(root: str | Path) -> tuple[str, ...]:
    """The families that a release of this root has."""
    more = tuple(family for family in OPTIONAL_FAMILIES if read_ok(root, family, ["clip_id"]).num_rows)
    return families_made((read_run(root, "pooled") or {}).get("config", {}).get("features", {})) + more


def families_made(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The families that these feature settings give: no features_3d where `encoder_3d` is "none"."""
    has_3d = settings.get("encoder_3d") != _NO_ENCODER
    return tuple(family for family in FAMILIES if has_3d or family != "features_3d")


def plan_shards(num_clips: int, settings: PublishSettings) -> list[int]:
    """Where the shards of a split end: first the tiers tiny and small, then every `clips_per_shard` clips."""
    ends = {num_clips}
    limits = (0, settings.tiny_clips, settings.small_clips, num_clips)
    for start, stop in pairwise(min(limit, num_clips) for limit in limits):
        ends |= set(range(start, stop, settings.clips_per_shard))
    return sorted(ends - {0})


def count_tiers(num_clips: Mapping[str, int], settings: PublishSettings) -> dict[str, dict[str, int]]:
    """{tier: {split: number of its shards, from the first}}."""
    tiers: dict[str, dict[str, int]] = {tier: {} for tier in TIERS}
    for split, count in num_clips.items():
        ends = plan_shards(count, settings)
        for tier, limit in (("tiny", settings.tiny_clips), ("small", settings.small_clips), ("full", count)):
            tiers[tier][split] = sum(end <= limit for end in ends)
    return tiers


def write_shards(root: str | Path, folder: Path, metadata: pa.Table, settings: PublishSettings) -> list[dict[str, Any]]:
    """Write every shard of a release, one at a time.

    Args:
        root: the dataset root whose features are taken.
        folder: the release's folder.
        metadata: what `read_metadata` gave.
        settings: shard and tier sizes.

    Returns:
        For each shard {path, family, split, rows, bytes, sha256}, sorted by path.

    Raises:
        ReleaseError: a family for whose clips there are no features at all.
        TableError: a family of several recipes, of which none is current.
    """
    files, families = [], families_of(root)
    refuse_mixed(root, [family for family in families if family != "metadata"])
    for split, num_clips in count_clips(metadata).items():
        rows = metadata.filter(pc.equal(metadata["split"], split))
        ends = plan_shards(num_clips, settings)
        for family in families:
            for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                clips = narrow(rows.slice(start, end - start))
                shard = clips if family == "metadata" else read_features(root, family, clips["clip_id"])
                path = f"data/{family}/{split}-{number:05d}-of-{len(ends):05d}.parquet"
                made = {"table": family, "schema_version": SCHEMA_VERSION, **describe_family(root, family)}
                data = parquet_bytes(shard.replace_schema_metadata(made))
                write_bytes(folder / path, data)
                counts = {"rows": shard.num_rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                files.append({"path": path, "family": family, "split": split, **counts})
    empty = set(families) - {file["family"] for file in files if file["rows"]}
    if empty:
        lacking = ", ".join(sorted(empty))
        raise ReleaseError(f"{root} has no {lacking} for its splits: run `python -m flows featurize` first")
    return sorted(files, key=lambda file: str(file["path"]))


def read_features(root: str | Path, name: str, clip_ids: pa.ChunkedArray) -> pa.Table:
    """The ok rows of a feature table for some clips, sorted by clip_id, without the common columns.

    Reads only row groups whose range of ids meets that of the clips.
    """
    own = [column.name for column in TABLES[name].columns]
    fs = fsspec.core.url_to_fs(str(root))[0]
    low, high = pc.min_max(clip_ids).values()
    column = pads.field("clip_id")
    is_wanted = (column >= low) & (column <= high) & column.isin(clip_ids.combine_chunks())

    def read_wanted(paths: list[str]) -> pa.Table:
        if not paths:
            raise ReleaseError(f"{root} has no {name}: run `python -m flows featurize` first")
        parts = pads.dataset(paths, format="parquet", filesystem=fs)
        return parts.to_table([*own, "attempt", "status"], filter=is_wanted)

    table = keep_highest_attempt(TABLES[name], read_parts(root, name, current_recipe(root, name), read_wanted))
    return keep_ok(table).select(own).sort_by("clip_id").combine_chunks()


def describe_family(root: str | Path, family: str) -> dict[str, str]:
    """What made a family's values: recipe and weights. Metadata come from no encoder and say nothing here."""
    if family == "metadata":
        return {}
    run = read_run(root, family) or {}
    weights = (run.get("encoder") or {}).get("weights_sha256")
    # Of the settings and the weights alone, not of how media were had: regenerated features then have the same.
    recipe = run.get("feature_recipe") or run.get("recipe") or ""
    return {"recipe": recipe} | ({"weights_sha256": weights} if weights else {})
