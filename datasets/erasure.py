"""Take videos out of everything a root keeps: tables, pins, certificate, releases; and look whether any trace is left.

New files are written before old ones are deleted, and every step finds by itself what is left to do, so that a killed
takedown is done again by the same command.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets.counts import count_values
from datasets.files import join_path, read_json, write_json
from datasets.releases.exports import remove_exports
from datasets.releases.layout import STUB_FILE, SUMS_FILE, find_video, list_releases, read_shards, release_path
from datasets.schemas import TABLES
from datasets.settings import recipe_of
from datasets.splits.certificate import certify_again, read_certificate, rows_digest, write_certificate
from datasets.splits.pins import read_pins, write_pins
from datasets.tables import list_parts, read_run, read_table, record_run, write_part
from datasets.tombstones import Kind, hash_id, is_tombstoned, read_tombstones

# `videos` last: it alone knows which videos a channel has, should this be killed and done again.
_ORDER = [name for name in TABLES if name not in ("videos", "tombstones")] + ["videos"]
_NAMES_VIDEOS = ("video_id", "copy_id", "query")
_REDACTED = "(names what was taken down)"
PENDING_FILE = "_takedowns.json"


def list_videos(root: str | Path, channel_id: str) -> set[str]:
    """Videos of a channel, in any recipe of the table videos and in any release."""
    found: set[str] = set()
    for version in list_releases(root):
        rows = read_shards(release_path(root, version), columns=["video_id", "channel_hash"])
        own = pc.equal(rows["channel_hash"], hash_id("channel", channel_id))
        found |= set(rows.filter(own)["video_id"].to_pylist())
    for path in list_parts(root, "videos"):
        rows = pq.ParquetFile(path).read(columns=["video_id", "channel_id"])
        found |= set(rows.filter(pc.equal(rows["channel_id"], channel_id))["video_id"].to_pylist())
    return found


def is_known(root: str | Path, kind: Kind, identifier: str) -> bool:
    """Whether a table, a tombstone or a release of a local root knows the id, or a takedown of it was interrupted."""
    if is_tombstoned(read_tombstones(root), kind, identifier) or list_pending(root, hash_id(kind, identifier)):
        return True
    if kind == "channel":
        return bool(list_videos(root, identifier))
    for path in (path for name in _ORDER for path in list_parts(root, name)):
        file = pq.ParquetFile(path)
        rows = file.read(columns=[name for name in _NAMES_VIDEOS if name in file.schema_arrow.names])
        if pc.any(_is_about(rows, {identifier}, ())).as_py():
            return True
    found = (find_video(release_path(root, version), identifier) for version in list_releases(root))
    return any(clips or was_removed for clips, was_removed in found)


def begin_takedown(root: str | Path, hashed: str, videos: Collection[str]) -> set[str]:
    """Remember which videos go until the takedown has ended: once their rows are gone, no table knows them any more.

    Args:
        root: the dataset root, local.
        hashed: the hashed id of what is taken down.
        videos: what is known of it now.

    Returns:
        These videos and those that an interrupted takedown of the same has remembered.
    """
    pending = read_json(Path(root) / PENDING_FILE) or {}
    everything = {*videos, *pending.get(hashed, ())}
    write_json(Path(root) / PENDING_FILE, {**pending, hashed: sorted(everything)})
    return everything


def list_pending(root: str | Path, hashed: str) -> set[str]:
    """The videos of a takedown that was interrupted; none where none was."""
    return set((read_json(join_path(root, PENDING_FILE)) or {}).get(hashed, ()))


def end_takedown(root: str | Path, hashed: str) -> None:
    """Forget the videos again."""
    pending = read_json(Path(root) / PENDING_FILE) or {}
    pending.pop(hashed, None)
    if pending:
        write_json(Path(root) / PENDING_FILE, pending)
    else:
        (Path(root) / PENDING_FILE).unlink(missing_ok=True)


def rewrite_tables(root: str | Path, video_ids: Collection[str], others: Collection[str] = ()) -> Counter[str]:
    """Remove videos from every part of every table of a local root.

    A row about one of the videos goes; so does a query that asked for one. Elsewhere a text that names one is replaced.

    Args:
        root: the dataset root.
        video_ids: what goes.
        others: further ids that no text may name: that of a channel.

    Returns:
        Rows removed, by table.
    """
    removed: Counter[str] = Counter()
    for name in _ORDER:
        for path in list_parts(root, name):
            file = pq.ParquetFile(path)
            texts = [field.name for field in file.schema_arrow if field.type == pa.string()]
            named = file.read(columns=texts)
            goes = _is_about(named, video_ids, others)
            stays = named.filter(pc.invert(goes))
            mentions = {text: _names_any(stays[text], {*video_ids, *others}) for text in texts}
            mentions = {text: mask for text, mask in mentions.items() if pc.any(mask).as_py()}
            if not (pc.any(goes).as_py() or mentions):
                continue
            table = file.read().replace_schema_metadata(None).filter(pc.invert(goes))
            for text, mask in mentions.items():
                clean = pc.if_else(mask, pa.scalar(_REDACTED), table[text])
                table = table.set_column(table.schema.get_field_index(text), table.schema.field(text), clean)
            written = write_part(root, name, table)
            if written is None or Path(written) != Path(path):
                Path(path).unlink()
            removed[name] += int(pc.sum(goes).as_py() or 0)
    pinned = read_pins(root)
    if pinned is not None and pc.any(_is_about(pinned, video_ids, others)).as_py():
        write_pins(root, pinned.filter(pc.invert(_is_about(pinned, video_ids, others))))
    return removed


def _is_about(rows: pa.Table, video_ids: Collection[str], others: Collection[str]) -> pa.ChunkedArray:
    about = pa.chunked_array([pa.repeat(False, rows.num_rows)])
    for name in {"video_id", "copy_id"}.intersection(rows.column_names):
        about = pc.or_(about, pc.is_in(rows[name], pa.array(list(video_ids), pa.string())))
    if "query" in rows.column_names:
        about = pc.or_(about, _names_any(rows["query"], {*video_ids, *others}))
    return about


def _names_any(texts: pa.ChunkedArray, identifiers: Collection[str]) -> pa.ChunkedArray:
    named = pa.chunked_array([pa.repeat(False, len(texts))])
    for identifier in identifiers:
        named = pc.or_(named, pc.fill_null(pc.match_substring(texts, identifier), False))
    return named


def renew_splits(root: str | Path, provenance: dict[str, Any]) -> None:
    """Give splits that lost clips a recipe, pins and a certificate of their own.

    Another recipe, so that models are trained again; what is left keeps its split.
    """
    written = read_certificate(root)
    splits = read_table(root, "splits")
    keys = ["clip_id", "video_id", "split"]
    if written is None or rows_digest(splits.select(keys)) == written["digests"]["splits"]:
        return
    recipe = recipe_of("takedown", rows_digest(splits.select(keys)))
    place = splits.schema.get_field_index("recipe")
    renewed = splits.set_column(place, splits.schema.field("recipe"), pa.repeat(recipe, splits.num_rows))
    write_part(root, "splits", renewed)
    write_pins(root, splits)
    left = count_values(splits["split"])
    sizes = {name: left.get(name, 0) for name in written["sizes"]}
    certificate = certify_again(root, written, splits, sizes, splits.select(keys))
    before = read_run(root, "splits") or {}
    record_run(root, "splits", recipe, {**before, **provenance, "taken_down_from": before.get("recipe")})
    write_certificate(root, certificate)  # last: it is what says that nothing is left to renew


def releases_with(root: str | Path, video_ids: Collection[str]) -> list[str]:
    """Versions of a root's releases that hold clips of any of the videos."""
    wanted = pa.array(list(video_ids), pa.string())
    versions = []
    for version in list_releases(root):
        videos = read_shards(release_path(root, version), columns=["video_id"])["video_id"]
        if pc.any(pc.is_in(videos, wanted)).as_py():
            versions.append(version)
    return versions


def withdraw_release(root: str | Path, version: str, why: str, use_instead: str | None) -> None:
    """Leave of a release a stub that says why it is gone and what to use; from its first byte on it is no release."""
    folder = Path(release_path(root, version))
    stub = {"version": version, "why": why, "use_instead": use_instead}
    sums = folder / SUMS_FILE
    if sums.exists():
        write_json(folder / STUB_FILE, stub | {"sha256sums_sha256": hashlib.sha256(sums.read_bytes()).hexdigest()})
    remove_exports(root, version)
    for path in sorted(folder.iterdir()):
        if path.name != STUB_FILE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def finish_withdrawals(root: str | Path) -> None:
    """Delete what a killed withdrawal left beside a stub."""
    for version in list_releases(root, withdrawn=True):
        stub = read_json(f"{release_path(root, version)}/{STUB_FILE}")
        if stub is not None:
            withdraw_release(root, version, stub["why"], stub["use_instead"])
