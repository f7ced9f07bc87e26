"""Build a release: beside, verified by reading everything back, and only then named.

A kill at any time leaves the earlier releases whole, and of the new one a hidden folder that the next build removes.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets.files import name_folder, write_bytes, write_json
from datasets.releases.bill import BILL_FILE, make_bill
from datasets.releases.cards import write_papers
from datasets.releases.changes import KEYS, compare_releases, is_empty
from datasets.releases.layout import (
    LISTS,
    MANIFEST_FILE,
    RELEASE_FORMAT,
    RELEASES,
    REMOVED_FILE,
    RUN_JSON,
    TOMBSTONES_FILE,
    list_releases,
    read_manifest,
    read_shards,
    release_path,
    version_key,
)
from datasets.releases.seals import sum_facts, sum_files, write_sums
from datasets.releases.settings import PublishSettings
from datasets.releases.shards import (
    ReleaseError,
    count_clips,
    count_tiers,
    describe_family,
    families_of,
    read_metadata,
    write_shards,
)
from datasets.releases.verify import verify_release
from datasets.settings import hide_secrets
from datasets.splits.certificate import CERTIFICATE_FILE, read_certificate, write_certificate
from datasets.tables import read_run, read_table

_BUILDING = ".building"
_TABLE_OF_STAGE = {
    "source": "media",
    "selection": "videos",
    "download": "media",
    "speech": "segments",
    "clips": "clips",
    "splits": "splits",
    "features": "pooled",
}
_OUTSIDE_RELEASE = {"license_file", "exports"}
"""Settings of `publish` that change nothing in a release."""
_LOCAL_SETTINGS = frozenset({"ids_file", "folder", "cookies_file", "pinned_from"})

Row = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """What a new release would be, compared with the last one."""

    version: str
    """Of the new release, should there be one."""
    previous: str | None
    changes: Row
    """Of `compare_releases`."""
    new_recipes: list[str]
    """Families whose values are made otherwise than in the last release."""

    @property
    def is_seen(self) -> bool:
        """Whether clips or recipes differ, or nothing was released; else only the shards tell."""
        return self.previous is None or bool(self.new_recipes) or not is_empty(self.changes)


def find_difference(root: str | Path, metadata: pa.Table) -> Difference:
    """Compare what a release would hold with the last release of a root, by clips and recipes."""
    known = list_releases(root)
    everything = list_releases(root, withdrawn=True)
    old = read_manifest(release_path(root, known[-1])) if known else None
    before = read_shards(release_path(root, known[-1]), columns=KEYS) if known else None
    changes = compare_releases(before, metadata.select(list(KEYS)), root)
    made = {family: describe_family(root, family) for family in families_of(root)}
    before_made = {family: row["made"] for family, row in old["families"].items()} if old is not None else made
    new_recipes = [name for name in {**before_made, **made} if before_made.get(name) != made.get(name)]
    # Major: values made otherwise, minor: other clips, patch: the same clips and recipes.
    version = "1.0.0"
    if everything:
        major, minor, patch = version_key(everything[-1])
        has_changed = changes["moved"] or changes["added"]["clips"] or changes["removed"]["clips"]
        version = f"{major}.{minor + 1}.0" if has_changed else f"{major}.{minor}.{patch + 1}"
        version = f"{major + 1}.0.0" if new_recipes else version
    return Difference(version, known[-1] if known else None, changes, new_recipes)


def is_new(root: str | Path, settings: PublishSettings) -> bool:
    """Whether a release built now would not hold the bytes of the last one; nothing stays of what is built to know."""
    metadata = read_metadata(root, settings)
    difference = find_difference(root, metadata)
    if difference.is_seen:
        return True
    folder = Path(str(root)) / RELEASES / _BUILDING
    try:
        return _write_if_new(root, folder, metadata, settings, difference) is not None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build_release(
    root: str | Path,
    settings: PublishSettings,
    run: Mapping[str, Any],
    today: date,
    facts: Mapping[str, Any],
    lock: str | None = None,
) -> str | None:
    """Build the next release of a local root, verify it, and name it.

    Args:
        root: the dataset root; the caller keeps other runs off it.
        settings: shards, tiers, licence, names.
        run: code version, machine and time, for run.json; and `config`, whose stages the manifest keeps.
        today: for the papers.
        facts: what only flows know, for the card: see `write_papers`.
        lock: what pins the packages that made it, for its bill of materials.

    Returns:
        The new version, or None when it would hold the bytes of the last one.

    Raises:
        ReleaseError: tables that do not make a release; or one that does not read back as it was written.
    """
    settings = PublishSettings.model_validate(settings.model_dump(mode="json"))  # as it is kept: without secrets
    releases = Path(str(root)) / RELEASES
    folder = releases / _BUILDING
    metadata = read_metadata(root, settings)
    difference = find_difference(root, metadata)
    files = _write_if_new(root, folder, metadata, settings, difference)
    if files is None:
        shutil.rmtree(folder)
        return None
    manifest = _make_manifest(root, settings, folder, metadata, files, difference, run)
    write_json(folder / MANIFEST_FILE, manifest)
    _write_lists(root, folder, difference)
    write_papers(root, folder, manifest, settings, today, facts)
    if lock is not None:
        write_json(folder / BILL_FILE, make_bill(lock))
    seal_release(folder, run)
    problems = verify_release(folder)
    if problems:
        raise ReleaseError(f"the release does not read back as it was written: {problems[0]}")
    name_folder(folder, releases / difference.version)
    return difference.version


def _write_if_new(
    root: str | Path, folder: Path, metadata: pa.Table, settings: PublishSettings, difference: Difference
) -> list[Row] | None:
    """The shards written to an empty folder, as the manifest lists them; None if they are those of the last release."""
    shutil.rmtree(folder, ignore_errors=True)
    files = write_shards(root, folder, metadata, settings)
    if difference.previous is not None:
        before = read_manifest(release_path(root, difference.previous))
        shards = [[(file["path"], file["sha256"]) for file in listed] for listed in (files, before["files"])]
        if shards[0] == shards[1] and before["publish"] == _plain(settings):
            return None
    return files


def _plain(settings: PublishSettings) -> Row:
    return settings.model_dump(mode="json", exclude=_OUTSIDE_RELEASE)


def _make_manifest(
    root: str | Path,
    settings: PublishSettings,
    folder: Path,
    metadata: pa.Table,
    files: list[Row],
    difference: Difference,
    run: Mapping[str, Any],
) -> Row:
    counts = count_clips(metadata)
    splits = metadata.append_column("ms", pc.subtract(metadata["end_ms"], metadata["start_ms"]))
    grouped = splits.group_by("split").aggregate([("video_id", "count_distinct"), ("ms", "sum")]).to_pylist()
    by_split = {row["split"]: row for row in grouped}
    made_with = {}
    for stage, table in _TABLE_OF_STAGE.items():
        # As they were when the stage's table was made, without paths of this machine.
        made = ((read_run(root, table) or {}).get("config") or run["config"])[stage]
        texts = {k: Path(v).name if Path(v).is_absolute() else v for k, v in made.items() if isinstance(v, str)}
        plain = hide_secrets(made | texts)
        made_with[stage] = {name: value for name, value in plain.items() if name not in _LOCAL_SETTINGS}
    return {
        "release_format": RELEASE_FORMAT,
        "name": settings.name,
        "version": difference.version,
        "previous": difference.previous,
        "splits": {
            split: {
                "clips": count,
                "videos": by_split[split]["video_id_count_distinct"],
                "ms": by_split[split]["ms_sum"],
            }
            for split, count in counts.items()
        },
        "tiers": count_tiers(counts, settings),
        "families": {
            family: _describe_shards(root, folder, family, files, metadata["clip_id"]) for family in families_of(root)
        },
        "changes": difference.changes | {"new_recipes": difference.new_recipes},
        "config": made_with,
        "run_sha256": sum_facts(run),
        "publish": _plain(settings),
        "files": files,
    }


def _describe_shards(root: str | Path, folder: Path, family: str, files: list[Row], clip_ids: pa.ChunkedArray) -> Row:
    own = [file for file in files if file["family"] == family]
    schema = pq.read_schema(folder / own[0]["path"])
    encoder = (read_run(root, family) or {}).get("encoder")
    there = pa.concat_tables([pq.read_table(folder / file["path"], columns=["clip_id"]) for file in own])["clip_id"]
    return {
        "rows": sum(file["rows"] for file in own),
        "bytes": sum(file["bytes"] for file in own),
        "columns": {column.name: str(column.type) for column in schema},
        "made": describe_family(root, family),
        "absent": clip_ids.filter(pc.invert(pc.is_in(clip_ids, there))).to_pylist(),
        **({"encoder": encoder} if encoder else {}),
    }


def _write_lists(root: str | Path, folder: Path, difference: Difference) -> None:
    """The certificate of the splits; hashed ids of the videos that went since the first release; the tombstones."""
    certificate = read_certificate(root)
    if certificate is None:
        raise ReleaseError(f"{root} has no {CERTIFICATE_FILE}: run `python -m flows curate` again")
    write_certificate(folder, certificate)
    earlier = Path(release_path(root, difference.previous)) / REMOVED_FILE if difference.previous else None
    lines = earlier.read_text().splitlines() if earlier else [LISTS[REMOVED_FILE]]
    went = difference.changes["removed_videos"].items()
    lines += [f"{hashed}\t{reason}\t{difference.version}" for hashed, reason in went]
    write_bytes(folder / REMOVED_FILE, ("\n".join(lines) + "\n").encode())
    stones = read_table(root, "tombstones", ["kind", "hashed_id"]).sort_by("hashed_id").to_pylist()
    lines = [LISTS[TOMBSTONES_FILE], *(f"{stone['kind']}\t{stone['hashed_id']}" for stone in stones)]
    write_bytes(folder / TOMBSTONES_FILE, ("\n".join(lines) + "\n").encode())


def seal_release(folder: Path, run: Mapping[str, Any]) -> None:
    """Write run.json with the sums of the papers, then SHA256SUMS over everything, last."""
    shards = {file["path"]: file["sha256"] for file in read_manifest(folder)["files"]}
    papers = sum_files(folder, leave_out=shards)
    write_json(folder / RUN_JSON, {**{k: v for k, v in run.items() if k != "config"}, "papers": papers})
    write_sums(folder, shards | papers | sum_files(folder, leave_out={**shards, **papers}))
