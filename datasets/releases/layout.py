"""Releases of a root: where they lie, what they are called, and how one is read.

ROOT/releases/VERSION holds shards (datasets.releases.shards) and what is written from the tables about them:
manifest.json, README.md, croissant.json and the other papers (datasets.releases.cards), run.json, and SHA256SUMS,
which is written last. All of it can be read in place from any fsspec URL.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets.files import is_local, join_path, read_json
from datasets.outside_text import one_line
from datasets.parts import open_parquet
from datasets.releases.settings import PublishSettings
from datasets.releases.shards import ReleaseError
from datasets.splits.certificate import CERTIFICATE_FILE
from datasets.tombstones import hash_id

RELEASES = "releases"
MANIFEST_FILE, RUN_JSON, SUMS_FILE, STUB_FILE = "manifest.json", "run.json", "SHA256SUMS", "WITHDRAWN.json"
LATEST_FILE = "latest.json"  # where releases were sent: the version to take
REMOVED_FILE, TOMBSTONES_FILE = "removed.tsv", "tombstones.tsv"
LISTS = {REMOVED_FILE: "video_hash\treason\tversion", TOMBSTONES_FILE: "kind\thash"}
"""Tables of tab-separated text, and their first lines."""
CARD_FILE, CHANGELOG_FILE, CROISSANT_FILE = "README.md", "CHANGELOG.md", "croissant.json"
SIGNATURE_FILE = f"{SUMS_FILE}.minisig"
PAPERS = (
    MANIFEST_FILE,
    RUN_JSON,
    CERTIFICATE_FILE,
    REMOVED_FILE,
    TOMBSTONES_FILE,
    CARD_FILE,
    CHANGELOG_FILE,
    CROISSANT_FILE,
    "CITATION.cff",
    "LICENSE",
    "LICENSE-SOFTWARE",
    "RESPONSIBLE_USE.md",
)
"""What every release holds beside its shards and their sums."""
RELEASE_FORMAT = 2
"""Since 2 the manifest names the clips that a family lacks; in a release of 1 a family may lack any."""
# Ours are 2 MB (datasets.parts.ROW_GROUP_BYTES); a file of a stranger may claim what fills the memory.
MAX_GROUP_BYTES, MAX_GROUP_VALUES = 64 << 20, 16 << 20
MAX_TEXT_BYTES = 256 << 20
"""Of texts that are not written one after the other, as ours are: each of them may stand for the longest of all."""
_ONE_BY_ONE = {"PLAIN", "RLE", "BIT_PACKED"}
# Of the columns that are compared and searched: with another type, that would fail in words of Arrow's.
_TYPES = {name: pa.string() for name in ("clip_id", "video_id", "split", "channel_hash")}
_NEVER_EMPTY = frozenset({"clip_id", "video_id", "split"})
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")

Row = dict[str, Any]


def version_key(version: str) -> tuple[int, ...]:
    """Orders versions like 1.10.0; raises ValueError for what is none."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"a version is three numbers like 1.0.0, got {version!r}")
    return tuple(int(number) for number in match.groups())


def release_path(root: str | Path, version: str) -> str:
    """Where a root keeps a release."""
    return join_path(root, RELEASES, version)


def list_releases(root: str | Path, withdrawn: bool = False) -> list[str]:
    """Versions of a root's releases, oldest first; those that were withdrawn only if asked for."""
    return _list_versions(Path(str(root)) / RELEASES, withdrawn)


def _list_versions(folder: Path, withdrawn: bool = False) -> list[str]:
    names = [path.name for path in folder.iterdir() if _VERSION.fullmatch(path.name)] if folder.is_dir() else []
    wanted = [name for name in names if withdrawn or not (folder / name / STUB_FILE).exists()]
    return sorted(wanted, key=version_key)


def newest_near(place: str | Path) -> str | None:
    """The newest release within a local folder, in its releases/, or beside it: what somebody may have meant."""
    path = Path(str(place))
    for folder in (path / RELEASES, path, path.parent) if "://" not in str(place) else ():
        if versions := _list_versions(folder):
            return str(folder / versions[-1])
    return None


def read_manifest(release: str | Path) -> Row:
    """manifest.json of a release, a folder or URL.

    Raises:
        ReleaseError: no release there, or one that was withdrawn.
    """
    manifest = _find_manifest(release)
    if manifest is None:
        near = newest_near(release)
        mend = f"the newest near it is {near}" if near else "`python -m flows publish` makes one of a root"
        raise ReleaseError(f"{release} is no release: it has no {MANIFEST_FILE}; {mend}")
    return manifest


def _find_manifest(place: str | Path) -> Row | None:
    _refuse_pipes(place, (STUB_FILE, MANIFEST_FILE, *LISTS))
    stub = _read_paper(place, STUB_FILE)
    if stub is not None:
        said = stub if isinstance(stub, dict) else {}
        instead = said.get("use_instead") or "no release of it"
        raise ReleaseError(f"{place} was withdrawn ({one_line(said.get('why'))}): use {one_line(instead)}")
    manifest: Row | None = _read_paper(place, MANIFEST_FILE)
    if manifest is None:
        return None
    try:
        outside = [file["path"] for file in manifest["files"] if not is_inside(file["path"])]
    except (LookupError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{place}/{MANIFEST_FILE} is no list of files: {error!r:.200}") from error
    if outside:
        raise ReleaseError(f"{place}/{MANIFEST_FILE} names a file outside of the release: {outside[0][:100]!r}")
    _refuse_pipes(place, [file["path"] for file in manifest["files"]])
    return manifest


def _refuse_pipes(place: str | Path, names: Iterable[str]) -> None:
    """Raise ReleaseError for what cannot be read to an end: a pipe waits for ever, /dev/zero fills the memory."""
    fs, local = fsspec.core.url_to_fs(str(place))
    for path in (Path(local, name) for name in (names if is_local(fs) else ())):
        if path.exists() and not path.is_file():
            raise ReleaseError(f"{path} is a pipe, a device or a folder, and a release holds files")


def read_publish_settings(release: str | Path) -> PublishSettings:
    """The settings that a release was made with, its own LICENSE in the place of the file that was given then.

    Raises:
        ReleaseError: no release, or settings that are none of ours.
    """
    told: Any = read_manifest(release).get("publish")
    try:
        license_file = None if told["license"] == "other" else Path(release) / "LICENSE"
        return PublishSettings(**told, license_file=license_file)
    except (LookupError, TypeError, ValueError) as error:
        raise ReleaseError(f"{release}/{MANIFEST_FILE}: not the settings of a release: {error!r:.300}") from error


def shards_of(
    place: str | Path, family: str, split: str | None = None, tier: str = "full", bare: bool = False
) -> list[str]:
    """Where the shards of a release lie, as its manifest says: the one place that knows.

    Args:
        place: folder or URL of a release, or of a root that is none.
        family: of `datasets.releases.shards.FAMILIES`.
        split: train, val or test; all when not given.
        tier: the first shards of each split, up to the last of `tiny` or `small`; `full` is all of them.
        bare: also those of a local folder without a manifest, such as a few files taken from a release.

    Returns:
        Paths in the manifest's order, below `place`; none where there is no release.

    Raises:
        ReleaseError: a release that was withdrawn, or whose manifest does not say which shards it has.
    """
    manifest = _find_manifest(place)
    if manifest is None:
        return sorted(map(str, Path(str(place)).glob(f"data/{family}/{split or '*'}-*.parquet"))) if bare else []
    try:
        limits = manifest["tiers"][tier]
        seen = dict.fromkeys(limits, 0)
        paths = []
        for file in manifest["files"]:
            if file["family"] == family:
                seen[file["split"]] += 1
                if seen[file["split"]] <= limits[file["split"]] and split in (None, file["split"]):
                    paths.append(join_path(place, file["path"]))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ReleaseError(f"{MANIFEST_FILE} does not say which shards tier {tier} has: {error!r:.200}") from error
    return paths


def _read_paper(release: str | Path, name: str) -> Any:
    try:
        return read_json(f"{release}/{name}")
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{release}/{name} is not JSON: {str(error)[:200]}") from error


def is_inside(path: str) -> bool:
    """True for a relative path that stays below where it starts, as all of a release's papers name files."""
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and path[0] != "/" and not {*"\\:"} & {*path} and path.isprintable()


def check_groups(shard: pq.ParquetFile) -> None:
    """Refuse row groups that would fill the memory: a run of one value is a few bytes on disk.

    Raises:
        ReleaseError: names the group and what it claims.
    """
    for number in range(shard.num_row_groups):
        group = shard.metadata.row_group(number)
        columns = [group.column(i) for i in range(group.num_columns)]
        num_values = max((column.num_values for column in columns), default=0)
        shared = [c for c in columns if c.physical_type == "BYTE_ARRAY" and set(c.encodings) - _ONE_BY_ONE]
        num_text_bytes = max((column.num_values * column.total_uncompressed_size for column in shared), default=0)
        is_large = group.total_byte_size > MAX_GROUP_BYTES or num_text_bytes > MAX_TEXT_BYTES
        if is_large or max(num_values, group.num_rows) > MAX_GROUP_VALUES:
            num_bytes = max(num_text_bytes, group.total_byte_size)
            raise ReleaseError(
                f"row group {number} claims {num_bytes} bytes, {num_values} values: no shard of a release"
            )


def read_shards(
    release: str | Path, family: str = "metadata", columns: Sequence[str] | None = None, tier: str = "full"
) -> pa.Table:
    """Rows of one family of a release, a folder or URL, in the order of its shards.

    Raises:
        ReleaseError: no shards of that family, or one that cannot be read.
    """
    tables = []
    for path in shards_of(release, family, tier=tier):
        with open_parquet(path) as opened:
            tables.append(read_shard(opened, path.removeprefix(f"{release}/"), columns))
    if not tables:
        read_manifest(release)  # where there is no release, this says so
        raise ReleaseError(f"{release} has no shards of {family}")
    try:
        return pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise ReleaseError(f"{release}: shards of {family} have different columns: {error}"[:300]) from error


def read_shard(opened: Any, path: str, columns: Sequence[str] | None) -> pa.Table:
    """Rows of one shard, which may be a stranger's: its groups and columns are checked first.

    Raises:
        ReleaseError: what cannot be read, claims too much, lacks a column or has one of another type.
    """
    try:
        shard = pq.ParquetFile(opened)
        check_groups(shard)
        rows = shard.read(columns=columns).replace_schema_metadata(None)
        rows.validate(full=True)  # text that is text
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:  # OSError: pages that are none
        raise ReleaseError(f"{path} cannot be read: {type(error).__name__}: {error}"[:300]) from error
    for name in columns if columns is not None else rows.column_names:
        if rows.column_names.count(name) != 1:
            raise ReleaseError(f"{path} must have one column {name[:100]!r}, has {rows.column_names.count(name)}")
        if rows.schema.field(name).type != _TYPES.get(name, rows.schema.field(name).type):
            raise ReleaseError(f"{path}: {name} must be {_TYPES[name]}, is {rows.schema.field(name).type}"[:300])
        if name in _NEVER_EMPTY and rows[name].null_count:
            raise ReleaseError(f"{path}: {name} is missing in {rows[name].null_count} rows")
    return rows


def find_video(release: str | Path, video_id: str) -> tuple[list[Row], bool]:
    """Whether a video is in a release, for whoever asks.

    Returns:
        (its clips: clip_id, split, start_ms, end_ms; whether the release lists its hash among what was removed).
    """
    rows = read_shards(release, columns=["clip_id", "video_id", "split", "start_ms", "end_ms"])
    clips = rows.filter(pc.equal(rows["video_id"], video_id)).drop_columns("video_id").to_pylist()
    hashed, removed = hash_id("video", video_id), False
    for name in (REMOVED_FILE, TOMBSTONES_FILE):
        with fsspec.open(f"{release}/{name}", "rb") as file:
            removed = removed or hashed.encode() in file.read()
    return clips, removed
