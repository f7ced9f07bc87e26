"""The proof that comes with splits: counts, disjointness, digests of what went in; and its check from tables alone."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.counts import count_values
from datasets.files import join_path, read_json, write_json
from datasets.seeded_order import hash_strings
from datasets.splits.draw import draw_exactly
from datasets.splits.duplicates import DuplicateSettings, find_duplicates
from datasets.splits.pins import PINS_FILE, read_pins
from datasets.splits.pool import DrawRequest, SplitError, drawable_clips
from datasets.tables import read_ok, read_table
from datasets.wide import narrow, widen

CERTIFICATE_FILE = "splits.certificate.json"
CERTIFICATE_VERSION = 2
GROUPINGS = ("channel", "duplicate", "content")
"""What `read_groups` keeps together."""


def read_groups(
    root: str | Path,
    group_by: Iterable[str],
    duplicates: DuplicateSettings | None = None,
    copies: pa.Table | None = None,
) -> pa.Table | None:
    """The `groups` of `draw_splits` from a root's tables: video_id and a column for each way of grouping.

    Args:
        root: the dataset root.
        group_by: names of `GROUPINGS`; none gives None.
        duplicates: when two videos count as one; only for the grouping `duplicate`.
        copies: pairs that `search_duplicates` found before; searched for anew when not given. The pairs of the grouping
            `content` are always those of the table that holds them: features come later than a draw.

    Raises:
        SplitError: an unknown way of grouping.
    """
    tables = []
    for name in group_by:
        if name not in GROUPINGS:
            raise SplitError(f"splits: group_by must be of {', '.join(GROUPINGS)}, got {name!r}")
        if name == "channel":
            rows = read_table(root, "videos", ["video_id", "channel_id"])
            tables.append(rows.filter(pc.is_valid(rows["channel_id"])).rename_columns(["video_id", name]))
            continue
        if name == "content":
            pairs = read_table(root, "content_duplicates", ["video_id", "copy_id"])
        else:
            pairs = copies if copies is not None else search_duplicates(root, duplicates or DuplicateSettings())
        # Each pair is a group of its own, so that a new video like two pinned ones does not make those two one group.
        both = pc.binary_join_element_wise(pairs["video_id"], pairs["copy_id"], " ")
        tables += [pa.table({"video_id": pairs[side], name: both}) for side in ("video_id", "copy_id")]
    return pa.concat_tables(tables, promote_options="default") if tables else None


def search_duplicates(root: str | Path, settings: DuplicateSettings) -> pa.Table:
    """`find_duplicates` over the fingerprints of a root: video_id and copy_id."""
    return find_duplicates(read_table(root, "segmentations", ["video_id", "duration_ms", "fingerprint"]), settings)


def split_certificate(
    splits: pa.Table,
    clips: pa.Table,
    request: DrawRequest,
    group_by: Iterable[str] = (),
    duplicates: DuplicateSettings | None = None,
    asked: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Check an assignment and say what was checked.

    Args:
        splits: columns clip_id, video_id, split, as `draw_splits` gave them.
        clips: what they were drawn from.
        request: what was drawn; its sizes are those of the splits there are.
        group_by, duplicates: how its groups were read from the root's tables (`read_groups`), for `verify_certificate`.
        asked: clips that were asked for, when the set was scaled down.

    Returns:
        JSON-able: the request, counts by split, of the pool and of the groups, each check with its result, digests of
        the inputs and of the assignment, and `passed`, which is true when every check is.
    """
    checks = check_assignment(splits, clips, request)
    assignment, pinned, pairs = ["clip_id", "video_id", "split"], request.pinned, request.group_pairs
    digests = {
        "splits": rows_digest(splits.select(assignment)),
        "clips": rows_digest(drawable_clips(clips)),
        "groups": [rows_digest(rows) for rows in pairs.values()] if request.groups is not None else None,
        "pinned": rows_digest(pinned.select(assignment)) if pinned is not None else None,
    }
    try:
        is_same = rows_digest(draw_exactly(clips, request)) == digests["splits"]
        differs = None if is_same else "another assignment than the one that this seed gives"
    except SplitError as error:
        differs = str(error)
    checks["drawn again with the same seed"] = differs
    videos = {name: splits.filter(pc.equal(splits["split"], name))["video_id"] for name in request.sizes}
    return {
        "certificate_version": CERTIFICATE_VERSION,
        "seed": request.seed,
        "sizes": dict(request.sizes),
        "asked": dict(asked or request.sizes),
        "max_per_video": request.max_per_video,
        "group_by": list(group_by),
        "duplicates": duplicates.model_dump(mode="json") if duplicates is not None else None,
        "counts": {name: {"clips": len(ids), "videos": len(ids.unique())} for name, ids in videos.items()},
        "pool": count_pool(clips, request),
        "checks": {name: {"passed": not problem, "problem": problem} for name, problem in checks.items()},
        "digests": digests,
        "passed": not any(checks.values()),
    }


def count_pool(clips: pa.Table, request: DrawRequest) -> dict[str, Any]:
    """What a draw could choose from: clips, videos, and the groups that it may not divide."""
    pool = drawable_clips(clips)
    return {
        "clips": pool.num_rows,
        "videos": len(pool["video_id"].unique()),
        "pinned_clips": request.pinned.num_rows if request.pinned is not None else 0,
        "groups": {
            name: {"groups": len(rows["group_id"].unique()), "videos": len(rows["video_id"].unique())}
            for name, rows in request.group_pairs.items()
        },
    }


def certify_again(
    root: str | Path, written: Mapping[str, Any], splits: pa.Table, sizes: Mapping[str, int], pinned: pa.Table | None
) -> dict[str, Any]:
    """`split_certificate` by a root's tables of today, of splits that were asked for as an earlier one says.

    Args:
        root: the dataset root.
        written: the earlier certificate.
        splits: clip_id, video_id, split.
        sizes: clips of each split.
        pinned: what the draw had to keep.
    """
    group_by = written["group_by"]
    duplicates = DuplicateSettings(**written["duplicates"]) if written["duplicates"] is not None else None
    groups = read_groups(root, group_by, duplicates)
    request = DrawRequest(sizes, written["seed"], groups, pinned, written["max_per_video"])
    clips = read_table(root, "clips", ["clip_id", "video_id", "status"])
    return split_certificate(splits, clips, request, group_by, duplicates, written["asked"])


def read_certificate(place: str | Path) -> Any:
    """What `write_certificate` wrote beside the tables of a root, or what a release has of it; None where none is."""
    return read_json(join_path(place, CERTIFICATE_FILE))


def write_certificate(root: str | Path, certificate: Mapping[str, Any]) -> None:
    """Write the certificate beside the tables of a root."""
    write_json(join_path(root, CERTIFICATE_FILE), certificate)


def verify_certificate(root: str | Path) -> list[str]:
    """Recompute the certificate of a root from its tables and its copy of the pins, and compare.

    Args:
        root: a dataset root with the tables splits and clips, and those that the certificate's `group_by` reads.

    Returns:
        What does not hold, one line each; empty when the certificate is right.
    """
    written = read_certificate(root)
    if written is None:
        return [f"{CERTIFICATE_FILE} is missing in {root}"]
    try:
        is_pinned = written["digests"]["pinned"] is not None
        pinned = read_pins(root) if is_pinned else None
        if is_pinned and pinned is None:
            return [f"{PINS_FILE} is missing in {root}, and {CERTIFICATE_FILE} needs it"]
        splits = read_ok(root, "splits", ["clip_id", "video_id", "split"])
        found = certify_again(root, written, splits, written["sizes"], pinned)
    except (KeyError, ValueError) as error:
        return [f"{CERTIFICATE_FILE} does not fit the tables: {str(error).splitlines()[0]}"]
    problems = [f"{name}: {check['problem']}" for name, check in found["checks"].items() if not check["passed"]]
    changed = [name for name, value in found.items() if written.get(name) != value and name not in ("checks", "passed")]
    return problems + [f"{CERTIFICATE_FILE}: {name} differs from what the tables say" for name in changed]


def rows_digest(table: pa.Table) -> str:
    """Hash of a table's rows as a set with repeats: row order, chunks and column names do not count; no nulls.

    Finds changes, not forgeries: rows go in by a 64-bit hash that is not cryptographic.
    """
    hashes = np.zeros(table.num_rows, np.uint64)
    for place, name in enumerate(table.column_names):
        hashes = hashes * np.uint64(3) ^ hash_strings(table[name], f"digest/{place}")
    return hashlib.sha256(np.sort(hashes).astype("<u8").tobytes()).hexdigest()


def check_assignment(splits: pa.Table, clips: pa.Table, request: DrawRequest) -> dict[str, str | None]:
    """Each check's name, and what is wrong (None when nothing is). Written apart from the code that draws.

    Args: as those of `split_certificate`.
    """
    sizes, pinned = request.sizes, narrow(request.pinned) if request.pinned is not None else None
    splits, pool = narrow(splits), narrow(drawable_clips(clips))
    found = count_values(splits["split"])
    wrong = {name: n for name, n in found.items() if sizes.get(name) != n}
    wrong |= {name: 0 for name, size in sizes.items() if size and name not in found}
    times = splits.group_by("clip_id").aggregate([("clip_id", "count")])
    repeated = times.filter(pc.greater(times["clip_id_count"], 1))["clip_id"]
    outside = splits.join(pool, ["clip_id", "video_id"], join_type="left anti")["clip_id"]
    checks = {
        "clips of each split as asked": f"got {wrong}, asked for {dict(sizes)}" if wrong else None,
        "no clip twice": _first(repeated, "clips there twice"),
        "every clip is in the pool": _first(outside, "clips not in the pool"),
        "no video in two splits": _first(_torn(splits, "video_id"), "videos in two splits"),
    }
    for name, pairs in request.group_pairs.items():
        joined = splits.select(["video_id", "split"]).join(narrow(pairs), "video_id", join_type="inner")
        checks[f"no {name} in two splits"] = _first(_torn(joined, "group_id"), f"{name}s in two splits")
    if request.max_per_video is not None:
        counts = splits.group_by("video_id").aggregate([("clip_id", "count")])
        above = counts.filter(pc.greater(counts["clip_id_count"], request.max_per_video))["video_id"]
        checks[f"at most {request.max_per_video} clips of a video"] = _first(above, "videos above the limit")
    if pinned is not None:
        # Those that the pool still has, and that are not where they were.
        still = pinned.filter(pc.is_in(widen(pinned)["clip_id"], pool["clip_id"]))
        moved = still.join(splits.select(["clip_id", "split"]), ["clip_id", "split"], join_type="left anti")["clip_id"]
        checks["pinned clips keep their split"] = _first(moved, "pinned clips moved")
    return checks


def _first(ids: pa.ChunkedArray, what: str) -> str | None:
    return f"{len(ids)} {what}, the first {pc.min(ids).as_py()}" if len(ids) else None


def _torn(rows: pa.Table, key: str) -> pa.ChunkedArray:
    by_key = rows.group_by(key).aggregate([("split", "count_distinct")])
    return by_key.filter(pc.greater(by_key["split_count_distinct"], 1))[key]
