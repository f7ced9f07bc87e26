"""Is a release whole? Ours or a downloaded copy, a folder or a URL: every byte, row and promise is checked."""

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets.files import read_json, sha256_of
from datasets.releases.layout import (
    LATEST_FILE,
    MANIFEST_FILE,
    RUN_JSON,
    STUB_FILE,
    SUMS_FILE,
    TOMBSTONES_FILE,
    check_groups,
    is_inside,
    list_releases,
    release_path,
)
from datasets.releases.shards import TIERS
from datasets.splits.certificate import CERTIFICATE_FILE, check_assignment, rows_digest, verify_certificate
from datasets.splits.pool import DrawRequest
from datasets.tombstones import hash_id

# What papers and shards of strangers make Python and Arrow raise.
_UNFIT = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    OSError,
    RecursionError,
    pa.ArrowException,
)


def is_release(path: str | Path) -> bool:
    """True for a folder or URL that holds a release, whole or not, or the stub of one."""
    fs, base = fsspec.core.url_to_fs(str(path))
    return any(fs.exists(f"{base.rstrip('/')}/{name}") for name in (SUMS_FILE, MANIFEST_FILE, STUB_FILE))


def verify_release(release: str | Path) -> list[str]:
    """Check sums, schemas, row counts, the certificate, disjointness and tombstones of a release.

    Returns:
        What does not hold, one line each, the first bad file first; empty when the release is whole.
    """
    try:
        stub = read_json(f"{release}/{STUB_FILE}")
        if stub is not None:
            return [f"version {stub['version']} was withdrawn: {stub['why']}"]
        return list(_check_sums(str(release))) or list(_check_content(str(release)))
    except _UNFIT as error:
        return [f"{release}: its papers do not fit together: {type(error).__name__}: {str(error)[:300]}"]


def sum_files(folder: Path, leave_out: Container[str] = ()) -> dict[str, str]:
    """{path within the folder: sha256} of its files, hidden ones and those of `leave_out` aside."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    wanted = {name: path for name, path in paths.items() if name not in leave_out and not name.startswith(".")}
    return {name: sha256_of(path) for name, path in wanted.items()}


def read_sums(release: str | Path) -> dict[str, str]:
    """{path: sha256} of a release's SHA256SUMS; empty without one."""
    fs, base = fsspec.core.url_to_fs(str(release))
    try:
        text = fs.cat_file(f"{base.rstrip('/')}/{SUMS_FILE}").decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    return {path: digest for digest, _, path in (line.partition("  ") for line in text.splitlines())}


def verify_root(root: str | Path) -> list[str]:
    """What does not hold in a root: the certificate of its splits from its tables, then each of its releases.

    A folder or URL that releases were sent to is checked by the version that its latest.json names.
    """
    latest = read_json(f"{root}/{LATEST_FILE}")
    if latest is not None:
        return verify_release(f"{root}/{latest['version']}")
    problems = verify_certificate(root)
    for version in list_releases(root):
        problems += [f"release {version}: {problem}" for problem in verify_release(release_path(root, version))]
    return problems


def _check_sums(release: str) -> Iterator[str]:
    fs, base = fsspec.core.url_to_fs(release)
    base = base.rstrip("/")
    sums = read_sums(release)
    if not sums:
        yield f"{SUMS_FILE}: missing or empty: the release is not complete"
        return
    second = _second_sums(release)
    for path, expected in sums.items():
        if not is_inside(path):
            yield f"{SUMS_FILE}: names a file outside of the release: {path[:100]!r}"
            continue
        try:
            found = sha256_of(f"{base}/{path}", fs)
        except (FileNotFoundError, IsADirectoryError):
            yield f"{path}: missing"
            continue
        if found != expected:
            # The manifest and run.json have the sums too: where they agree with the file, the list is what changed.
            yield f"{SUMS_FILE if found == second.get(path) else path}: not the bytes that were published"
    named = {f"{base}/{path}" for path in sums}
    for path in sorted(fs.find(f"{base}/data")):
        if path not in named:
            yield f"{path.removeprefix(base).lstrip('/')}: not in {SUMS_FILE}"


def _second_sums(release: str) -> dict[str, str]:
    try:
        shards = {file["path"]: file["sha256"] for file in read_json(f"{release}/{MANIFEST_FILE}")["files"]}
        return {**shards, **read_json(f"{release}/{RUN_JSON}")["papers"]}
    except _UNFIT:
        return {}


def _check_content(release: str) -> Iterator[str]:
    """What the sums cannot know: that the shards hold what the papers say."""
    manifest = read_json(f"{release}/{MANIFEST_FILE}")
    fs, base = fsspec.core.url_to_fs(release)
    keys: dict[tuple[str, str, str], pa.Table] = {}
    for file in manifest["files"]:
        if not is_inside(file["path"]):
            yield f"{MANIFEST_FILE}: names a file outside of the release: {file['path'][:100]!r}"
            return
        with fs.open(f"{base.rstrip('/')}/{file['path']}", "rb") as opened:
            table, columns = _read_keys(pq.ParquetFile(opened), file["family"])
        family, number = file["family"], file["path"].rpartition("/")[2]
        if table.num_rows != file["rows"]:
            yield f"{file['path']}: {table.num_rows} rows, the manifest says {file['rows']}"
        if columns != manifest["families"][family]["columns"]:
            yield f"{file['path']}: other columns than the manifest says"
        keys[family, file["split"], number] = table
    yield from _check_shard_numbers(manifest)
    for (family, split, number), table in keys.items():
        strange = pc.invert(pc.is_in(table["clip_id"], keys["metadata", split, number]["clip_id"].combine_chunks()))
        if pc.any(strange).as_py():
            yield f"data/{family}/{number}: clips that data/metadata/{number} does not have"
    yield from _check_splits(release, keys)


def _read_keys(shard: pq.ParquetFile, family: str) -> tuple[pa.Table, dict[str, str]]:
    """Ids of a shard and {column: type}; everything is decoded, a group at a time, to see that it can be."""
    keys = ["clip_id", "video_id", *(["channel_hash"] if family == "metadata" else [])]
    check_groups(shard)
    groups = [shard.read_row_group(group).select(keys) for group in range(shard.num_row_groups)]
    columns = {column.name: str(column.type) for column in shard.schema_arrow}
    return pa.concat_tables(groups) if groups else shard.schema_arrow.empty_table().select(keys), columns


def _check_shard_numbers(manifest: Mapping[str, Any]) -> Iterator[str]:
    for family in manifest["families"]:
        for split, num_shards in manifest["tiers"][TIERS[-1]].items():
            found = [f["path"] for f in manifest["files"] if f["family"] == family and f["split"] == split]
            asked = [f"data/{family}/{split}-{n:05d}-of-{num_shards:05d}.parquet" for n in range(num_shards)]
            if found != asked:
                yield f"{MANIFEST_FILE}: {family} has not the {num_shards} shards of {split} in order"


def _check_splits(release: str, keys: Mapping[tuple[str, str, str], pa.Table]) -> Iterator[str]:
    """The assignment against the certificate's numbers, and against the tombstones, from the shards alone."""
    shards = [(split, table) for (family, split, _), table in keys.items() if family == "metadata"]
    rows = pa.concat_tables([table.append_column("split", pa.repeat(split, len(table))) for split, table in shards])
    certificate = read_json(f"{release}/{CERTIFICATE_FILE}")
    if not certificate["passed"]:
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
    with fsspec.open(f"{release}/{TOMBSTONES_FILE}", "rt") as file:
        stones = {line.split("\t")[-1] for line in file.read().splitlines()[1:]}
    videos = rows["video_id"].unique().to_pylist() if stones else []
    carried = sum(hash_id("video", video_id) in stones for video_id in videos)
    if carried or stones & set(rows["channel_hash"].unique().to_pylist()):
        yield "data/metadata: holds what its own tombstones say was taken down"
