"""Exports: the clips of a release in the layouts of other libraries, made from its shards and from nothing else.

ROOT/exports/FORMAT/VERSION holds files, the release's terms, export.json and, written last, SHA256SUMS. Equal releases
give equal exports, byte for byte, with the same version of the library. A withdrawn release takes its exports along.
"""

import gzip
import json
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, get_args

import fsspec

from datasets.files import join_path, read_json, sha256_of, write_json
from datasets.releases.layout import CARD_FILE, MANIFEST_FILE, SUMS_FILE, TOMBSTONES_FILE, version_key
from datasets.releases.seals import (
    check_files,
    check_list,
    check_place,
    read_object,
    read_sums,
    run_checks,
    sum_files,
    write_sums,
)
from datasets.releases.settings import ExportFormat
from datasets.tombstones import hash_id

EXPORTS, EXPORT_FILE = "exports", "export.json"
TERMS = ("LICENSE", "LICENSE-SOFTWARE", "CITATION.cff", "RESPONSIBLE_USE.md", "removed.tsv", TOMBSTONES_FILE)
"""Papers of the release that every export has as they are."""

_FILES = {
    "webdataset": r"data/(train|val|test)-\d{5}-of-\d{5}\.tar",
    "lhotse": r"data/(train|val|test)/\w+\.\d{6}\.(tar|jsonl\.gz)",
    "search-page": r"index\.html",
}
"""What an export has beside its papers."""
_MEMBERS = {"webdataset": r"[\w-]+\.(json|\w+\.npy)", "lhotse": r"[\w-]+\.(json|npy|nodata|nometa)"}
"""What its archives hold: a reader runs what is called otherwise, such as a pickle."""
_MAX_CUT_BYTES = 1 << 20

Row = dict[str, Any]


def export_path(root: str | Path, form: str, version: str) -> Path:
    """Where a root keeps an export of one of its releases."""
    return Path(root) / EXPORTS / form / version


def list_exports(root: str | Path) -> list[Path]:
    """The exports of a local root."""
    return sorted(path.parent for path in (Path(root) / EXPORTS).glob(f"*/*/{EXPORT_FILE}"))


def remove_exports(root: str | Path, version: str) -> None:
    """Delete what was made of a release, and what a killed export left."""
    for form in get_args(ExportFormat):
        for name in (version, ".building"):
            if (folder := export_path(root, form, name)).is_dir():
                shutil.rmtree(folder)


def seal_export(folder: Path, told: Row) -> None:
    """Write export.json, which names every file with its sum, and SHA256SUMS over everything, last.

    Args:
        folder: of the export, its files written.
        told: `format`, `name`, `version` and `splits` ({split: clips}) of what it holds.
    """
    files = sum_files(folder)
    write_json(folder / EXPORT_FILE, told | {"files": files})
    write_sums(folder, files | {EXPORT_FILE: sha256_of(folder / EXPORT_FILE)})


def is_export(place: str | Path) -> bool:
    """True for a folder or URL that holds an export, whole or not; a release is none, whatever lies in it."""
    fs, base = fsspec.core.url_to_fs(str(place))
    has_export, has_manifest = (fs.exists(join_path(base, name)) for name in (EXPORT_FILE, MANIFEST_FILE))
    return has_export and not has_manifest


def verify_export(place: str | Path) -> list[str]:
    """What does not hold of an export, one line each: its bytes, that nothing lies beside, its splits and tombstones.

    Values are not compared with those of the release: whoever has it makes the export anew, which gives equal bytes.
    """
    return run_checks(str(place), (check_place, _check_papers, _check_clips))


def _check_papers(place: str) -> Iterator[str]:
    """The two lists of its files against the files, and these against what such an export has."""
    papers = (*TERMS, CARD_FILE, EXPORT_FILE)
    yield from check_list(place, papers)
    sums = read_sums(place)
    problems = list(check_files(place, sums, {}))
    yield from problems
    if problems:
        return
    told = read_object(f"{place}/{EXPORT_FILE}")
    version_key(told["version"])
    if told["files"] | {EXPORT_FILE: sha256_of(f"{place}/{EXPORT_FILE}")} != sums:
        yield f"{EXPORT_FILE}: names other files or sums than {SUMS_FILE}"
    for name in sums:
        if name not in papers and not re.fullmatch(_FILES[told["format"]], name):
            yield f"{name}: no file of an export as {told['format']}"


def _check_clips(place: str) -> Iterator[str]:
    """By the names in its archives: what a reader expects there, clips of every split as many as told and as many as
    cuts, no video in two, none that was taken down."""
    fs, base = fsspec.core.url_to_fs(place)
    told = read_json(f"{place}/{EXPORT_FILE}")
    gone = {line.rpartition("\t")[2] for line in fs.cat_file(f"{base}/{TOMBSTONES_FILE}").decode().splitlines()}
    clips: dict[str, set[str]] = {}
    cuts: dict[str, list[str]] = {}
    for name in told["files"]:
        split = name.removeprefix("data/").replace("/", "-").partition("-")[0]
        with fs.open(f"{base}/{name}") as opened:
            if name.endswith(".tar"):
                members, strange = _read_members(opened, _MEMBERS[told["format"]])
                clips.setdefault(split, set()).update(member.partition(".")[0] for member in members)
                if strange:
                    yield f"{name}: holds {strange[0]!r}: no file of a clip, or there twice"
            elif name.endswith(".gz"):
                cuts.setdefault(split, []).extend(_read_cuts(opened))
    for split, ids in cuts.items():
        if sorted(ids) != sorted(clips.get(split, ())):
            yield f"data/{split}: its cuts are not the clips of its archives, each once"
    videos = {split: {clip_id.rsplit("_", 2)[0] for clip_id in found} for split, found in clips.items()}
    for split in {**told["splits"], **clips} if told["format"] != "search-page" else ():
        count = told["splits"].get(split)
        if len(clips.get(split, ())) != count:
            yield f"{EXPORT_FILE}: says {count} clips of {split}, the archives hold {len(clips.get(split, ()))}"
    seen: set[str] = set()
    for split, found in videos.items():
        if both := seen & found:
            yield f"data/{split}: has a video of another split: {min(both)}"
        seen |= found
    for video_id in sorted(seen):
        if hash_id("video", video_id) in gone:
            yield f"{video_id}: was taken down, and is in the export"


def _read_members(opened: IO[bytes], pattern: str) -> tuple[list[str], list[str]]:
    """(names of an archive's members, those that are no file, of another name, or there twice)"""
    with tarfile.open(fileobj=opened, mode="r|") as archive:
        found = [(member.name, member.isreg()) for member in archive]
    names = Counter(name for name, _ in found)
    return list(names), [n for n, is_file in found if not is_file or not re.fullmatch(pattern, n) or names[n] > 1]


def _read_cuts(opened: IO[bytes]) -> list[str]:
    """Ids of lhotse's cuts; raises ValueError for one that would have its reader open a file or run a command."""

    def check(part: Row) -> Row:
        is_here = part.get("storage_type", "shar") == "shar" and not part.get("storage_path")
        if not is_here or {"recording", "sources"}.intersection(part):
            raise ValueError("a cut names a place beside the archives")
        return part

    ids = []
    with gzip.open(opened) as lines:
        while line := lines.readline(_MAX_CUT_BYTES):
            if not line.endswith(b"\n"):
                raise ValueError(f"a cut of more than {_MAX_CUT_BYTES} bytes")
            ids.append(json.loads(line, object_hook=check)["id"])
    return ids
