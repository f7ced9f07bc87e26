"""Do the shards of a release hold what its papers say? Of what the sums cannot know: rows, columns, clips, splits."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets.files import read_json
from datasets.ids import make_clip_id
from datasets.media import END_TOLERANCE_MS
from datasets.parts import open_parquet
from datasets.releases.layout import (
    CROISSANT_FILE,
    LISTS,
    MANIFEST_FILE,
    RELEASE_FORMAT,
    REMOVED_FILE,
    TOMBSTONES_FILE,
    check_groups,
    read_manifest,
    version_key,
)
from datasets.releases.settings import PublishSettings
from datasets.releases.shards import (
    FAMILIES,
    OPTIONAL_FAMILIES,
    SPLITS,
    TIERS,
    count_tiers,
    families_made,
    plan_shards,
)
from datasets.schemas import SCHEMA_VERSION
from datasets.splits.certificate import CERTIFICATE_FILE, check_assignment, read_certificate, rows_digest
from datasets.splits.pool import DrawRequest
from datasets.tombstones import hash_id
from datasets.wide import widen

_LINES = {
    REMOVED_FILE: r"[0-9a-f]{64}\t\w+\t\d+\.\d+\.\d+",
    TOMBSTONES_FILE: r"(video|channel)\t[0-9a-f]{64}",
}
"""What follows the first lines of `LISTS`."""


@dataclass(frozen=True)
class _Shard:
    keys: pa.Table
    """Ids of its rows, and of metadata what they must agree with."""
    columns: list[tuple[str, str]]
    """(name, type)"""
    made: dict[str, str]
    """What it says of itself: table, schema version, recipe, weights."""
    num_bytes: int
    odd: list[str]
    """Columns of vectors of which one is missing or empty, or holds what is no finite number."""
    uneven: bool
    """A clip has not as many rows as it says, not as many as its length asks for, or not a time for each, in order."""
    sizes: dict[str, set[int]]
    """Lengths of the vectors in each column of one vector a clip."""


def check_content(release: str) -> Iterator[str]:
    """What the sums cannot know: that the shards hold what the papers say."""
    manifest = read_manifest(release)
    yield from _check_names(manifest, read_json(f"{release}/{CROISSANT_FILE}"))
    shards = {}
    for file in manifest["files"]:
        shard = shards[file["family"], file["split"], file["path"].rpartition("/")[2]] = _read_shard(release, file)
        family, path = manifest["families"][file["family"]], file["path"]
        if (shard.keys.num_rows, shard.num_bytes) != (file["rows"], file["bytes"]):
            told = f"{file['rows']} rows in {file['bytes']} bytes"
            yield f"{path}: {shard.keys.num_rows} rows in {shard.num_bytes} bytes, the manifest says {told}"
        if sorted(shard.columns) != sorted(family["columns"].items()):
            yield f"{path}: other columns than the manifest says"
        if shard.made != {"table": file["family"], "schema_version": SCHEMA_VERSION, **family["made"]}:
            yield f"{path}: made otherwise than the manifest says"
        for column in shard.odd:
            # Without a family of 3D features nothing was pooled of it.
            if column != "pooled_3d" or "features_3d" in manifest["families"]:
                yield f"{path}: {column} has a vector that is missing, empty or not of finite numbers"
        if shard.uneven:
            yield f"{path}: a clip has more or fewer rows than it says, or their times are not in order within it"
        if file["family"] == "metadata" and set(shard.keys["split"].unique().to_pylist()) - {file["split"]}:
            yield f"{path}: holds clips of another split"
    yield from _check_families(manifest)
    for (family, split, number), shard in shards.items():
        # Its clips: in order, each once, each as in metadata, each with the id that its times give.
        path, keys, metadata = f"data/{family}/{number}", shard.keys, shards["metadata", split, number].keys
        if not _is_ordered(keys):
            yield f"{path}: its clips are not in order, each once"
        at = pc.index_in(keys["clip_id"], metadata["clip_id"])
        if at.null_count:
            yield f"{path}: clips that data/metadata/{number} does not have"
        elif not metadata["video_id"].take(at).equals(keys["video_id"]):
            yield f"{path}: clips of other videos than data/metadata says"
        if family == "metadata":
            yield from _check_metadata(path, keys)
    yield from _check_numbers(manifest, shards)
    yield from _check_splits(release, {key: shard.keys for key, shard in shards.items()})


def _is_ordered(keys: pa.Table) -> bool:
    ids = widen(keys)["clip_id"].combine_chunks()
    return len(ids) < 2 or bool(pc.all(pc.less(ids[:-1], ids[1:])).as_py())


def _check_metadata(path: str, keys: pa.Table) -> Iterator[str]:
    """What metadata say of each clip: its id, its speech, its channel and its address."""
    rows = keys.select(["video_id", "start_ms", "end_ms", "clip_id"]).to_pylist()
    if any(make_clip_id(row["video_id"], row["start_ms"], row["end_ms"]) != row["clip_id"] for row in rows):
        yield f"{path}: a clip_id that does not say its own video and times"
    speech_ms, length_ms = keys["speech_ms"], pc.subtract(keys["end_ms"], keys["start_ms"])
    if pc.any(pc.or_(pc.less(speech_ms, 0), pc.greater(speech_ms, length_ms))).as_py():
        yield f"{path}: a clip of less than no speech, or of more than its length"
    for name, pattern in (("channel_hash", "^[0-9a-f]{64}$"), ("url", r"^(https?://|folder:[\w-]+$)")):
        if pc.all(pc.match_substring_regex(keys[name], pattern)).as_py() is False:
            yield f"{path}: a {name} that no release has"


def _check_names(manifest: Mapping[str, Any], croissant: Mapping[str, Any]) -> Iterator[str]:
    """What a release says that it is: by a format that we know, and with no less in it than that format has."""
    if (croissant["name"], croissant["version"]) != (manifest["name"], manifest["version"]):
        yield f"{CROISSANT_FILE}: describes {croissant['name']} {croissant['version']}, which is another release"
    release_format, families = manifest["release_format"], manifest["families"].values()
    has_format_2 = "run_sha256" in manifest or any("absent" in family for family in families)
    if release_format not in (1, RELEASE_FORMAT) or (release_format == 1 and has_format_2):
        yield f"{MANIFEST_FILE}: is not of the format {release_format!r} that it says"
    version, previous = version_key(manifest["version"]), manifest.get("previous")
    if previous is not None and version_key(previous) >= version:
        yield f"{MANIFEST_FILE}: follows {previous}, which is no version before it"
    if manifest["name"] != manifest["publish"]["name"]:
        yield f"{MANIFEST_FILE}: has two names, {manifest['name']!r} and {manifest['publish']['name']!r}"


def _read_shard(release: str, file: Mapping[str, Any]) -> _Shard:
    """Everything is decoded, a group at a time, to see that it can be."""
    fs, base = fsspec.core.url_to_fs(release)
    path = f"{base.rstrip('/')}/{file['path']}"
    is_metadata = file["family"] == "metadata"
    names = [
        "clip_id",
        "video_id",
        *(("split", "start_ms", "end_ms", "speech_ms", "channel_hash", "url") if is_metadata else ()),
    ]
    with open_parquet(f"{release.rstrip('/')}/{file['path']}") as opened:
        shard = pq.ParquetFile(opened)
        check_groups(shard)
        groups, odd, uneven, schema = [], set[str](), False, shard.schema_arrow
        sizes = {column.name: set[int]() for column in schema if column.type == pa.list_(pa.float32())}
        for number in range(shard.num_row_groups):
            group = shard.read_row_group(number)
            odd |= {column for column in group.column_names if _has_odd_vectors(group[column].combine_chunks())}
            uneven |= _is_uneven(group)
            for column, found in sizes.items():
                found |= set(pc.list_value_length(group[column]).drop_null().unique().to_pylist())
            groups.append(group.select(names))
    keys = pa.concat_tables(groups) if groups else schema.empty_table().select(names)
    made = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    columns = [(column.name, str(column.type)) for column in schema]
    return _Shard(keys, columns, made, fs.size(path), sorted(odd), uneven, sizes)


def _is_uneven(group: pa.Table) -> bool:
    """Whether some clip's values are not as many as it says, or as the times beside them, or as its id says."""
    names = {"num_frames", "row_start_ms"}.intersection(group.column_names)
    told = [group[name] for name in names]
    lengths = [pc.list_value_length(one) if pa.types.is_list(one.type) else one for one in told]
    if any(not pc.list_value_length(group["values"]).equals(one) for one in lengths):
        return True
    if not names:
        return False
    ids = group["clip_id"]
    starts, ends = (
        pc.cast(pc.utf8_slice_codeunits(ids, *at), pa.int64()).to_numpy() for at in ((-19, -10), (-9, None))
    )
    if "num_frames" in names:
        return bool((abs(group["num_frames"].to_numpy() * 10 - (ends - starts)) > END_TOLERANCE_MS).any())
    times = group["row_start_ms"].combine_chunks()
    rows, of = times.flatten(), pc.list_parent_indices(times).to_numpy()
    at = rows.to_numpy(zero_copy_only=False)
    is_outside = (at < starts[of] - END_TOLERANCE_MS) | (at > ends[of] + END_TOLERANCE_MS)
    is_late = (np.diff(at) <= 0) & (np.diff(of) == 0)
    return bool(rows.null_count or is_outside.any() or is_late.any())


def _has_odd_vectors(values: pa.Array) -> bool:
    if not isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return False
    while isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        if values.null_count or pc.any(pc.equal(pc.list_value_length(values), 0)).as_py():
            return True
        values = values.flatten()
    return bool(pa.types.is_floating(values.type) and not np.isfinite(values.to_numpy(zero_copy_only=False)).all())


def _check_families(manifest: Mapping[str, Any]) -> Iterator[str]:
    for family in (*families_made(manifest["config"].get("features", {})), *manifest["families"]):
        if family not in manifest["families"]:
            yield f"{MANIFEST_FILE}: has no family {family}, which a release by its feature settings has"
            continue
        if family not in (*FAMILIES, *OPTIONAL_FAMILIES):
            yield f"{MANIFEST_FILE}: has a family {family}, which no release has"
        for split, num_shards in manifest["tiers"][TIERS[-1]].items():
            found = [f["path"] for f in manifest["files"] if f["family"] == family and f["split"] == split]
            asked = [f"data/{family}/{split}-{n:05d}-of-{num_shards:05d}.parquet" for n in range(num_shards)]
            if found != asked:
                yield f"{MANIFEST_FILE}: {family} has not the {num_shards} shards of {split} in order"
    strange = {f["split"] for f in manifest["files"]} ^ set(manifest["tiers"][TIERS[-1]])
    if strange | {f["family"] for f in manifest["files"]} - set(manifest["families"]):
        yield f"{MANIFEST_FILE}: lists shards of a family or split that it does not name"
    if others := set(manifest["splits"]).difference(SPLITS):
        yield f"{MANIFEST_FILE}: has a split {min(others)!r}, which no release has"


def _check_numbers(manifest: Mapping[str, Any], shards: Mapping[tuple[str, str, str], _Shard]) -> Iterator[str]:
    """What the manifest says is absent, its totals and its tiers against the shards."""
    lacking: dict[str, list[str]] = {family: [] for family in manifest["families"]}
    for (family, split, number), shard in shards.items():
        everything = shards["metadata", split, number].keys["clip_id"]
        is_there = pc.is_in(everything, shard.keys["clip_id"])
        lacking[family] += everything.filter(pc.invert(is_there)).to_pylist()
    for family, clips in lacking.items() if manifest["release_format"] != 1 else ():
        if sorted(clips) != sorted(manifest["families"][family]["absent"]):
            yield f"data/{family}: lacks {len(clips)} clips of data/metadata, not those that {MANIFEST_FILE} names"
    for family, told in manifest["families"].items():
        own = [shard for (other, _, _), shard in shards.items() if other == family]
        if (told["rows"], told["bytes"]) != (sum(s.keys.num_rows for s in own), sum(s.num_bytes for s in own)):
            yield f"{MANIFEST_FILE}: other rows or bytes of {family} than its shards have"
        for column in own[0].sizes:
            if len(set().union(*(shard.sizes[column] for shard in own))) > 1:
                yield f"data/{family}: vectors of {column} of more than one length"
    counts, sizes = {}, PublishSettings(**manifest["publish"] | {"license": "other"})
    for split in manifest["splits"]:
        own = [s for (family, other, _), s in shards.items() if (family, other) == ("metadata", split)]
        rows = pa.concat_tables([shard.keys for shard in own])
        ends = np.cumsum([shard.keys.num_rows for shard in own]).tolist()
        if ends != plan_shards(rows.num_rows, sizes):
            yield f"data/metadata: shards of {split} end after {ends} clips, not where its sizes say"
        if not _is_ordered(rows):
            yield f"data/metadata: the clips of {split} are not in order from shard to shard"
        ms = pc.sum(pc.subtract(rows["end_ms"], rows["start_ms"])).as_py()
        found = {"clips": rows.num_rows, "videos": len(rows["video_id"].unique()), "ms": ms}
        counts[split] = rows.num_rows
        if manifest["splits"][split] != found:
            yield f"{MANIFEST_FILE}: says {manifest['splits'][split]} of {split}, the shards {found}"
    if manifest["tiers"] != count_tiers(counts, sizes):
        yield f"{MANIFEST_FILE}: its tiers are not those of its sizes"


def _check_splits(release: str, keys: Mapping[tuple[str, str, str], pa.Table]) -> Iterator[str]:
    """The assignment against the certificate's numbers, and against the tombstones, from the shards alone."""
    shards = [(split, table) for (family, split, _), table in keys.items() if family == "metadata"]
    rows = pa.concat_tables(
        [table.drop_columns("split").append_column("split", pa.repeat(split, len(table))) for split, table in shards]
    )
    certificate = read_certificate(release)
    passed = [certificate["passed"], *(check["passed"] for check in certificate["checks"].values())]
    if len(passed) == 1 or not all(one is True for one in passed):
        yield f"{CERTIFICATE_FILE}: says itself that the splits do not hold"
    if certificate["digests"]["splits"] != rows_digest(rows.select(["clip_id", "video_id", "split"])):
        yield f"{CERTIFICATE_FILE}: made for another assignment than that of data/metadata"
    channels = rows.group_by(["video_id", "channel_hash"]).aggregate([]).rename_columns(["video_id", "channel"])
    groups = channels if "channel" in certificate["group_by"] else None
    request = DrawRequest(certificate["sizes"], certificate["seed"], groups, None, certificate["max_per_video"])
    checks = check_assignment(rows, rows.select(["clip_id", "video_id"]), request)
    for name, problem in checks.items():
        if problem:
            yield f"data/metadata: {name}: {problem}"
    stones = set()
    for name, head in LISTS.items():
        with fsspec.open(f"{release}/{name}", "rt") as file:
            first, *lines = file.read().splitlines() or [""]
        if first != head or not all(map(re.compile(_LINES[name]).fullmatch, lines)):
            yield f"{name}: is no table of {head.replace(chr(9), ', ')}"
        elif name == TOMBSTONES_FILE:
            stones = {line.split("\t")[-1] for line in lines}
    videos = rows["video_id"].unique().to_pylist() if stones else []
    carried = sum(hash_id("video", video_id) in stones for video_id in videos)
    if carried or stones & set(rows["channel_hash"].unique().to_pylist()):
        yield "data/metadata: holds what its own tombstones say was taken down"
