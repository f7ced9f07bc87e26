"""Is a release whole? Ours or a downloaded copy, a folder or a URL: every byte, row and promise is checked."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec

from datasets.files import join_path, read_json
from datasets.outside_text import one_line
from datasets.releases.content import check_content
from datasets.releases.exports import EXPORT_FILE, is_export, list_exports, verify_export
from datasets.releases.layout import (
    LATEST_FILE,
    MANIFEST_FILE,
    RELEASES,
    STUB_FILE,
    SUMS_FILE,
    is_inside,
    list_releases,
    release_path,
)
from datasets.releases.seals import check_place, check_seals, run_checks
from datasets.releases.signatures import check_signature
from datasets.splits.certificate import verify_certificate


def is_release(path: str | Path) -> bool:
    """True for a folder or URL that holds a release, whole or not, or the stub of one."""
    fs, base = fsspec.core.url_to_fs(str(path))
    return any(fs.exists(join_path(base, name)) for name in (SUMS_FILE, MANIFEST_FILE, STUB_FILE))


def verify_release(release: str | Path, key: Any = None) -> list[str]:
    """Check the signature, sums, schemas, row counts, families, certificate, disjointness and tombstones of a release.

    Args:
        release: folder or URL.
        key: of `datasets.releases.signatures.read_public_key`; without one, a wholly resealed release passes.

    Returns:
        What does not hold, one line each, fit for a terminal, the first bad file first; empty when it is whole.
    """
    signed = [partial(check_signature, key=key)] if key is not None else []
    return run_checks(str(release), [check_place, _check_stub, *signed, check_seals, check_content])


def _check_stub(release: str) -> Iterator[str]:
    stub = read_json(f"{release}/{STUB_FILE}")
    if stub is not None:
        yield f"version {stub['version']} was withdrawn: {stub['why']}"


def verify_place(place: str | Path, key: Any = None) -> list[str]:
    """What does not hold of a release, of an export, or of a root."""
    if is_export(place):
        return verify_export(place) or (check_signature(place, key) if key is not None else [])
    return (verify_release if is_release(place) else verify_root)(place, key)


def verify_root(root: str | Path, key: Any = None) -> list[str]:
    """What does not hold in a root: the certificate of its splits from its tables, then its releases and exports.

    A folder or URL that releases were sent to is checked by the version that its latest.json names.
    """
    latest = read_json(f"{root}/{LATEST_FILE}")
    if latest is not None:
        version = latest.get("version") if isinstance(latest, dict) else None
        if not isinstance(version, str) or not is_inside(version):
            return [f"{LATEST_FILE}: names no version: {one_line(latest)}"]
        return _verify_named(root, version, key)
    problems, kept = verify_certificate(root), list_releases(root)
    for version in list_releases(root, withdrawn=True):
        found = _verify_named(f"{root}/{RELEASES}", version, key) if version in kept else []
        if version not in kept and len(list(Path(release_path(root, version)).iterdir())) > 1:
            found = ["was withdrawn, and more than the note of it is left: run the takedown again"]
        problems += [f"release {version}: {problem}" for problem in found]
    for folder in list_exports(root):
        name = f"export {folder.parent.name} {folder.name}"
        problems += [f"{name}: {problem}" for problem in verify_place(folder, key)]
    return problems


def _verify_named(place: str | Path, version: str, key: Any) -> list[str]:
    """Check a release or an export, and that the version it lies under is its own."""
    folder = f"{place}/{version}"
    problems = (verify_place if is_export(folder) else verify_release)(folder, key)
    said = EXPORT_FILE if is_export(folder) else MANIFEST_FILE
    if not problems and read_json(f"{folder}/{said}")["version"] != version:
        problems = [f"{said}: says another version than the folder {version}"]
    return problems
