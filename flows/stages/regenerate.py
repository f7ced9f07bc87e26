"""A clip list to clips in splits: fetch exactly its videos, cut exactly its clips, and say what is gone or changed.

From a release's manifest also to its features and shards, which are then compared with those of the release.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.counts import count_values
from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.releases.layout import MANIFEST_FILE, read_manifest, read_publish_settings, release_path
from datasets.releases.shards import ReleaseError
from datasets.schemas import TABLES
from datasets.settings import outside_recipe, recipe_of
from datasets.splits.certificate import read_certificate, split_certificate, write_certificate
from datasets.splits.pins import write_pins
from datasets.splits.pool import DrawRequest
from datasets.tables import current_recipe, list_parts, make_table, read_ok, read_table, write_part
from datasets.tombstones import hide_id, is_tombstoned, read_tombstones
from extract.regeneration import Listing, compare_media, read_listing, settle_clip, take_split
from extract.selection import TAKE_ALL
from extract.site.settings import DownloadSettings
from features.settings import FeatureSettings
from flows.config import Config, ConfigError
from flows.machinery.doctor import require
from flows.machinery.locks import hold_root
from flows.machinery.prepare import prepared
from flows.machinery.progress import logger
from flows.machinery.run import Run, open_run
from flows.stages.download import fetch_videos
from flows.stages.featurize import compute_features, featurize
from flows.stages.permissions import ask_permissions
from flows.stages.publish import build_or_look

Row = dict[str, Any]

_OF_THE_MACHINE = frozenset({"device", "num_threads", "decode_processes"})


@flow(name="regenerate", task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # invariant upstream
@prepared("regenerate")
def regenerate(config: Config, lists: tuple[str, ...], retry: tuple[str, ...] = ()) -> None:
    """From a release or a foreign clip list to the same clips in the same splits; does only what is not done.

    Nothing is searched for, selected or segmented. A single release, its manifest and data/metadata, is featurized too.

    Args:
        config: the whole configuration; its rules of search and selection are not applied.
        lists: paths, or SPLIT=PATH for a list that names no split.
        retry: reasons whose rows are tried again.

    Raises:
        ClipListError: a list that cannot be read.
        ReleaseError: a manifest that cannot be read.
        ConfigError: the release has videos of another source than the configuration asks.
        ValueError: the root belongs to a search.
    """
    release = find_release(lists)
    check_source(config, lists)  # before the root is made
    if release is not None:
        require("featurize", config)
    with open_run(config, retry) as run:
        is_of_release = keep_listed(run, lists)
    if is_of_release:
        featurize(config, retry)
        with hold_root(config.root):
            compare_shards(run, lists[0])


def check_source(config: Config, lists: Sequence[str]) -> None:
    """Raise ConfigError where a listed release has videos of another source than the configuration asks."""
    for release in (path for _, path in map(take_split, lists) if _is_release(path)):
        told = (read_manifest(release).get("config") or {}).get("source")
        name = told.get("name") if isinstance(told, dict) else None
        if name != config.source.name:
            asked = f"its videos come from the source {name!r}, and source.name is {config.source.name!r}"
            raise ConfigError(f"{release}: {asked}: give the --config that it was made with")


def regenerate_root(run: Run, lists: tuple[str, ...]) -> None:
    """What the flow does while it holds the root."""
    if keep_listed(run, lists):
        compute_features(run)
        compare_shards(run, lists[0])


def keep_listed(run: Run, lists: tuple[str, ...]) -> bool:
    """Everything up to the splits; True where the list is a release, and has clips whose features can be compared."""
    config, release = run.config, find_release(lists)
    check_source(config, lists)
    listing = read_listing(dict.fromkeys(lists))
    for description in listing.descriptions:
        logger.info("%s", description)
    everything = config.run.model_copy(update={"max_videos": None})
    run = replace(run, config=config.model_copy(update={"selection": TAKE_ALL, "run": everything}))
    if list_parts(run.root, "searches"):
        raise ValueError(f"the root {run.root} holds the tables of a search: give `regenerate` a root of its own")
    listing = hide_tombstoned(run, listing)
    list_videos(run, listing)
    ask_permissions(run)
    fetch_videos(run)
    outcomes = read_outcomes(run)
    cut_listed_clips(run, listing, outcomes)
    keep_listed_splits(run, listing)
    note_changes(run, listing, outcomes)
    return release is not None and read_table(run.root, "splits", ["clip_id"]).num_rows > 0


def find_release(lists: Sequence[str]) -> str | None:
    """The release that is listed, if one is and nothing else; a folder of metadata shards alone is a clip list."""
    return lists[0] if len(set(lists)) == 1 and _is_release(lists[0]) else None


def _is_release(place: str) -> bool:
    return Path(place, MANIFEST_FILE).is_file()


def read_release_settings(release: str) -> dict[str, dict[str, Any]]:
    """Settings that make the bytes of a release again, by stage: how media are chosen, features, shards.

    A manifest is a stranger's: which site is asked, by what code and at which pace, stays the configuration's.

    Raises:
        ReleaseError: a manifest that cannot be read.
    """
    told: Any = read_manifest(release).get("config")
    try:
        chosen = {
            "download": _keep(told["download"], set(DownloadSettings.model_fields) - outside_recipe(DownloadSettings)),
            "features": _keep(told["features"], set(FeatureSettings.model_fields) - _OF_THE_MACHINE),
        }
    except (LookupError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{release}/{MANIFEST_FILE} does not say how it was made: {error!r:.200}") from error
    return chosen | {"publish": read_publish_settings(release).model_dump(exclude_none=True)}


def _keep(fields: Row, names: set[str]) -> Row:
    return {name: value for name, value in fields.items() if name in names and value is not None}


def compare_shards(run: Run, release: str) -> None:
    """Build what could be had as a release of the root, and say how many of its shards have the bytes of the first."""
    version = build_or_look(run)
    told, made = (
        {file["path"]: file["sha256"] for file in read_manifest(place)["files"]}
        for place in (release, release_path(run.root, version))
    )
    different = sorted(path for path, digest in told.items() if made.get(path) != digest)
    logger.info("%d of %d shards have the bytes of %s", len(told) - len(different), len(told), release)
    if different:
        logger.warning("the first shard that differs: %s", different[0])


def hide_tombstoned(run: Run, listing: Listing) -> Listing:
    """The listing with hashes in place of the ids of videos that were taken down."""
    tombstones = read_tombstones(run.root)
    hidden = {video_id: hide_id(tombstones, video_id) for video_id in listing.video_ids}
    clips = []
    for clip in listing.clips:
        video_id = hidden[clip["video_id"]]
        clip_id = make_clip_id(video_id, clip["start_ms"], clip["end_ms"])
        clips.append({**clip, "video_id": video_id, "clip_id": clip_id})
    skipped = [row for row in listing.skipped if not is_tombstoned(tombstones, "video", row["video_id"])]
    return replace(listing, video_ids=tuple(hidden.values()), clips=tuple(clips), skipped=tuple(skipped))


def list_videos(run: Run, listing: Listing) -> None:
    """The listed videos in the place of what a search finds: table discoveries."""
    rows = [
        {"query": listing.name, "video_id": video_id, "rank": rank, **OK}
        for rank, video_id in enumerate(listing.video_ids, start=1)
    ]
    recipe = recipe_of("listed", listing.name, listing.video_ids)
    write_whole(run, "discoveries", rows, recipe)
    run.record("discoveries", recipe)


def read_outcomes(run: Run) -> dict[str, Row]:
    """What became of each video that was tried: its row of media, or that of videos where it has none."""
    common = ["video_id", "status", "reason", "detail"]
    outcomes = {row["video_id"]: row for row in read_table(run.root, "videos", common).to_pylist()}
    media = read_table(run.root, "media", [*common, "format_id", "sha256", "duration_ms"]).to_pylist()
    return outcomes | {row["video_id"]: row for row in media}


def cut_listed_clips(run: Run, listing: Listing, outcomes: dict[str, Row]) -> None:
    """Exactly the listed clips: table clips. A clip whose video is gone says so; one that may come has no row yet."""
    settled = [settle_clip(clip, outcomes.get(clip["video_id"])) for clip in listing.clips]
    recipe = recipe_of("listed clips", (*listing.clips, *listing.skipped), current_recipe(run.root, "media"))
    names = ("clip_id", "video_id", "start_ms", "end_ms", "status", "reason", "detail")
    skipped = [{name: row[name] for name in names} for row in listing.skipped]
    write_whole(run, "clips", [*(row for row in settled if row is not None), *skipped], recipe)
    run.record("clips", recipe)
    if not listing.clips:
        logger.warning("the list names videos but no clips: `curate` with source.name=ids would find some in them")


def keep_listed_splits(run: Run, listing: Listing) -> None:
    """The listed split of every clip that could be cut: table splits, and a certificate of it."""
    clips = read_table(run.root, "clips", ["clip_id", "video_id", "status"])
    cut = set(read_ok(run.root, "clips", ["clip_id"])["clip_id"].to_pylist())
    names = ("clip_id", "video_id", "split")
    rows = [{name: clip[name] for name in names} | OK for clip in listing.clips if clip["clip_id"] in cut]
    recipe = recipe_of("listed splits", listing.clips)
    write_whole(run, "splits", rows, recipe)
    run.record("splits", recipe)
    if not rows:
        return
    # Like that of a draw in which every clip is pinned; fails where a video is in two splits.
    splits = read_table(run.root, "splits", list(names))
    listed = pa.array([clip["split"] for clip in listing.clips])
    sizes, asked = count_values(splits["split"]), count_values(listed)
    request = DrawRequest(sizes, run.config.splits.seed, pinned=splits)
    certificate = split_certificate(splits, clips, request, asked=asked)
    if read_certificate(run.root) != certificate:
        run.begin()
        write_pins(run.root, splits)
        write_certificate(run.root, certificate)
    for name, check in certificate["checks"].items():
        if not check["passed"]:
            logger.warning("the listed splits fail the check %r: %s", name, check["problem"])


def note_changes(run: Run, listing: Listing, outcomes: dict[str, Row]) -> None:
    """What is gone, and whose media were encoded anew since the list was made: table regenerations."""
    clips = defaultdict(list)
    for clip in listing.clips:
        clips[clip["video_id"]].append(clip)
    compared = [compare_media(video_id, clips[video_id], outcomes.get(video_id)) for video_id in listing.video_ids]
    recipe = recipe_of("regenerations", listing.video_ids, listing.clips)
    write_whole(run, "regenerations", [row for row in compared if row is not None], recipe)
    run.record("regenerations", recipe)


def write_whole(run: Run, table: str, rows: list[Row], recipe: str) -> None:
    """Write a table that is computed whole from others, as one part; nothing if it is there as it should be."""
    new, old = make_table(table, rows, recipe=recipe, run_id=run.run_id), read_table(run.root, table, recipe=recipe)
    key = [(name, "ascending") for name in TABLES[table].key]
    if not old.drop_columns("run_id").sort_by(key).equals(new.drop_columns("run_id").sort_by(key)):
        run.begin()
        write_part(run.root, table, new, [recipe])
