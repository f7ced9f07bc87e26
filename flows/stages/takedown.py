"""Takedown: a video or a channel leaves every table, its media go, and the next release is built without it."""

import os
import tempfile
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow
from prefect.settings import get_current_settings
from pydantic import SecretStr

from datasets.erasure import (
    PENDING_FILE,
    begin_takedown,
    end_takedown,
    finish_withdrawals,
    is_known,
    list_pending,
    list_videos,
    releases_with,
    renew_splits,
    rewrite_tables,
    withdraw_release,
)
from datasets.files import read_json, write_json
from datasets.ids import check_video_id
from datasets.mentions import Mentions, find_mentions
from datasets.releases.layout import list_releases, read_publish_settings, read_shards, release_path
from datasets.releases.shards import LOOPBACK, ReleaseError
from datasets.suggestions import did_you_mean
from datasets.tables import list_parts, read_run, read_table
from datasets.tombstones import Kind, add_tombstones, hash_id, read_tombstones
from extract.media_store import remove_media
from flows.answers import forget_answers
from flows.config import GALLERY_FILE, REPORT_FILE, RULES_FILE, SEARCH_PAGE, Config, ConfigError
from flows.machinery.prepare import prepared
from flows.machinery.progress import logger
from flows.machinery.run import Run, code_version, open_run
from flows.stages.publish import build_next, check_is_local, published_file
from flows.stages.train import TRAINED_ON_FILE

TAKEN_DOWN_FILE = "taken_down.json"


@dataclass(frozen=True)
class Takedown:
    """What a takedown did, and what is left for people; names no id."""

    num_videos: int
    rows: dict[str, int]
    """Rows removed, by table."""
    checkpoints: tuple[str, ...]
    """Trained on it: they keep what they learned."""
    next_release: str | None
    withdrawn: tuple[str, ...]
    still_published: tuple[dict[str, str], ...]
    """{version, to, at} of releases that were sent away with it."""
    left: tuple[str, ...]
    """Files that still hold an id: under the root, and where Prefect and Ray keep theirs on this machine."""
    unsearched: tuple[str, ...]
    """What could not be searched, each with why."""


@flow(name="takedown")
@prepared("takedown")
def takedown(config: Config, kind: Kind, identifier: SecretStr, why: str) -> Takedown:
    """Take a video, or every video of a channel, out of a local root. Doing it again finishes what was interrupted.

    Args:
        config: names the root, and how its releases are made.
        kind: what `identifier` names.
        identifier: a secret, so that Prefect's own records do not keep it.
        why: for people and for the changelog of tombstones; must not contain the id.

    Raises:
        ValueError: no id of a video, or `why` is empty or names the id.
    """
    check_is_local(config.root)
    with open_run(config) as run:
        return take_down(run, kind, identifier, why)


def check_is_known(root: str, kind: Kind, identifier: str) -> None:
    """Raise ConfigError for an id that nothing in the root knows: whoever mistyped it would believe it taken down.

    Not a part of the flow, as Prefect would keep what the error says.
    """
    check_is_local(root)
    if not is_known(root, kind, identifier):
        column = "video_id" if kind == "video" else "channel_id"
        known = read_table(root, "videos", [column])[column].drop_null().unique().to_pylist()
        told = f"no table, tombstone or release of {root} knows the {kind} {identifier!r}"
        raise ConfigError(f"{told}: nothing was taken down{did_you_mean(identifier, known)}")


def take_down(run: Run, kind: Kind, secret: SecretStr, why: str) -> Takedown:
    """Take down a video, or every video of a channel."""
    check_is_local(run.root)
    identifier = secret.get_secret_value()
    if kind == "video":
        check_video_id(identifier)
    hashed = hash_id(kind, identifier)
    if hashed not in read_tombstones(run.root):
        run.begin()
    add_tombstones(run.root, kind, [identifier], why, run.run_id)
    named = {identifier} if kind == "video" else list_videos(run.root, identifier)
    return take_out(run, hashed, named, why, {identifier})


def take_out(run: Run, key: str, named: set[str], why: str, others: Collection[str] = ()) -> Takedown:
    """A takedown, and what is found of it afterwards, under the root and elsewhere on this machine.

    Args:
        run: over a local root, held.
        key: under which the videos are remembered until it has ended.
        named: videos that go, beside those that an interrupted one of the same key remembers.
        why: for people; without an id.
        others: further ids that nothing may name: that of a channel.
    """
    if list_pending(run.root, key):
        run.begin()
    videos, rows, withdrawn = named, Counter[str](), tuple[str, ...]()
    if not run.only_looks:
        videos = begin_takedown(run.root, key, named)
        rows, withdrawn = _erase(run, videos, set(others) - videos, why)
    known = list_releases(run.root)
    sent = read_json(published_file(run.root)) or []
    mentions = _search_everywhere(run, videos | set(others))
    if mentions.named:
        run.begin()
    found = Takedown(
        num_videos=len(videos),
        rows={name: count for name, count in rows.items() if count},
        checkpoints=flagged_checkpoints(run.root, {hash_id("video", video_id) for video_id in videos}),
        next_release=known[-1] if known and withdrawn else None,
        withdrawn=withdrawn,
        still_published=tuple(entry for entry in sent if entry["version"] not in known),
        left=mentions.named,
        unsearched=mentions.unsearched,
    )
    if not run.only_looks:
        end_takedown(run.root, key)
    return found


def _erase(run: Run, videos: set[str], others: set[str], why: str) -> tuple[Counter[str], tuple[str, ...]]:
    """(rows removed by table, releases withdrawn); each step finds by itself what is left to do, so that a kill at any
    time loses nothing.
    """
    add_tombstones(run.root, "video", videos, why, run.run_id)
    flag_checkpoints(run.root, videos, why)
    for media_root in _media_roots(run):
        for video_id in videos:
            remove_media(media_root, video_id)
    rows = rewrite_tables(run.root, videos, others)
    renew_splits(run.root, {"run_id": run.run_id, "code_version": code_version()})
    for page in (REPORT_FILE, GALLERY_FILE, RULES_FILE, SEARCH_PAGE):
        (Path(run.root) / page).unlink(missing_ok=True)
    forget_answers(run.root, videos)
    for cached in Path(run.config.run.cache_dir or run.root).rglob("*.arrow"):
        cached.unlink()  # copies of log-mel by clip; the next training makes them again
    return rows, _replace_releases(run, videos, why)


def _media_roots(run: Run) -> set[Path]:
    """Where media may lie: as configured, and as configured when they were fetched."""
    recorded = (read_run(run.root, "media") or {}).get("config", {}).get("run", {}).get("media_root")
    return {run.config.media_root, *([Path(recorded)] if recorded else [])}


def _search_everywhere(run: Run, identifiers: set[str]) -> Mentions:
    """Mentions under the root by their path in it; elsewhere on this machine, where a run may leave an id (media,
    Prefect's database and results, Ray's spill and logs), by their whole path.
    """
    found = find_mentions(run.root, identifiers, leave_out=[PENDING_FILE])
    named, unsearched = list(found.named), list(found.unsearched)
    prefect, root = get_current_settings(), Path(run.root).resolve()
    database = prefect.server.database.connection_url
    url = database.get_secret_value() if database is not None else f"sqlite:///{prefect.home / 'prefect.db'}"
    files = Path(url.partition(":///")[2].partition("?")[0]) if url.startswith("sqlite") else None
    for place in (
        *(place for place in sorted(_media_roots(run)) if not place.resolve().is_relative_to(root)),
        *(sorted(files.parent.glob(f"{files.name}*")) if files is not None and files.name else ()),
        prefect.home / "storage",
        Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray",
    ):
        elsewhere = find_mentions(place, identifiers)
        named += [str(place / name) for name in elsewhere.named]
        unsearched += [str(place / name) for name in elsewhere.unsearched]
    address = os.environ.get("PREFECT_API_URL", "")
    if address and urlsplit(address).hostname not in LOOPBACK:
        unsearched.append(f"{address}: records, logs and artifacts of runs, if that server keeps them elsewhere")
    return Mentions(tuple(named), tuple(unsearched))


def _replace_releases(run: Run, videos: set[str], why: str) -> tuple[str, ...]:
    """Build the next release, then withdraw those that hold the videos; a kill between the two leaves both."""
    finish_withdrawals(run.root)
    affected = tuple(releases_with(run.root, videos))
    if not affected:
        return ()
    # As the last release was made, whatever configuration the takedown was given.
    settings = read_publish_settings(release_path(run.root, list_releases(run.root)[-1]))
    as_published = replace(run, config=run.config.model_copy(update={"publish": settings}))
    try:
        use_instead: str | None = build_next(as_published)
    except (ReleaseError, ValueError) as error:
        logger.warning("no release can be made of what is left: %s", error)
        use_instead = None
    for version in affected:
        withdraw_release(run.root, version, f"taken down: {why}", use_instead)
    return affected


def flag_checkpoints(root: str, videos: Collection[str], why: str) -> None:
    """Write beside each checkpoint that was trained on any of the videos that it was, by the videos' hashes."""
    for folder in _checkpoint_folders(root):
        # Clips that trained it or chose its epoch; of a checkpoint without record, any of the root's.
        told, rows = read_json(folder / TRAINED_ON_FILE) or {"recipes": {"splits": None}}, None
        if "release" in told:
            if told["release"] in list_releases(root):
                rows = read_shards(release_path(root, told["release"]), columns=["video_id", "split"])
        elif told["recipes"]["splits"] is None or list_parts(root, "splits", told["recipes"]["splits"]):
            rows = read_table(root, "splits", ["video_id", "split"], recipe=told["recipes"]["splits"])
        if rows is None:
            continue
        used = rows.filter(pc.is_in(rows["split"], pa.array(["train", "val"])))["video_id"].to_pylist()
        if seen := set(used) & set(videos):
            record = folder / TAKEN_DOWN_FILE
            known: dict[str, Any] = read_json(record) or {"videos": {}}
            known["videos"] |= {hash_id("video", video_id): why for video_id in seen}
            write_json(record, known)


def flagged_checkpoints(root: str, hashes: Collection[str]) -> tuple[str, ...]:
    """Names of the checkpoints that were trained on any of the hashed videos."""
    named = []
    for folder in _checkpoint_folders(root):
        record = read_json(folder / TAKEN_DOWN_FILE) or {"videos": {}}
        if set(record["videos"]) & set(hashes):
            named.append(folder.name)
    return tuple(named)


def _checkpoint_folders(root: str) -> list[Path]:
    """Of the root's own model, and of the rows that its experiments trained."""
    places = (Path(root) / "checkpoints", Path(root) / "experiments" / "checkpoints")
    return sorted(path for place in places for path in place.glob("*") if path.is_dir())


def describe_takedown(found: Takedown) -> pd.DataFrame:
    """What was done and what is left for people, as a table of (what, is)."""
    rows = [
        ("videos", str(found.num_videos)),
        *((f"rows removed from {name}", f"{count:,}") for name, count in found.rows.items()),
        *(("checkpoint trained on it: train again", name) for name in found.checkpoints),
        *(("release withdrawn", version) for version in found.withdrawn),
        ("release to use", found.next_release or "none was built"),
        *(("still carried by", f"{entry['version']} at {entry['to']}") for entry in found.still_published),
        *(("STILL NAMED IN", name) for name in found.left),
        *(("could not be searched", name) for name in found.unsearched),
    ]
    return pd.DataFrame(rows, columns=["what", "is"])
