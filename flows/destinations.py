"""Where a release goes: a folder, an object store, the Hub. A kill leaves no half release that looks whole.

Folder: built beside under a hidden name, then renamed. Object store: SHA256SUMS goes last, and a prefix without it is
no release. Hub: one commit makes all files visible at once; then a tag names the version. Doing it again goes on where
it stopped, and every byte is read back before the last step.
"""

from pathlib import Path
from typing import Any

import fsspec
from botocore.exceptions import BotoCoreError

from datasets.files import sha256_of, write_json
from datasets.releases.layout import LATEST_FILE, STUB_FILE, SUMS_FILE
from datasets.releases.shards import ReleaseError
from datasets.releases.verify import read_sums, verify_release

_HUB = "hf://datasets/"


def send_release(release: Path, version: str, destination: str) -> str:
    """Bring a release to a destination.

    Args:
        release: its local folder.
        version: its name there.
        destination: a folder, an fsspec URL such as s3://BUCKET/PREFIX, or hf://datasets/OWNER/NAME.

    Returns:
        Where it is now.

    Raises:
        ReleaseError: what is there under this version is another release, or does not read back.
        OSError: the destination cannot be reached or written.
    """
    problems = verify_release(release)
    if problems:
        raise ReleaseError(f"{release} is not sent: {problems[0]}")
    if destination.startswith(_HUB):
        from flows.hub import send_to_hub

        return send_to_hub(release, version, destination.removeprefix(_HUB))
    try:
        return _send_to_files(release, version, destination)
    except BotoCoreError as error:  # no credentials, no such server: not among the errors of the system
        raise OSError(f"{destination}: {error}") from error


def _send_to_files(release: Path, version: str, destination: str) -> str:
    is_local = "://" not in destination
    base = str(Path(destination).absolute()) if is_local else destination.rstrip("/")
    target = f"{base}/{version}"
    fs, path = fsspec.core.url_to_fs(target)
    if fs.exists(f"{path}/{SUMS_FILE}"):
        _check_is_same(release, fs, path, target)
    elif fs.exists(f"{path}/{STUB_FILE}"):
        raise ReleaseError(f"{target} was withdrawn: a withdrawn version is not published again")
    elif is_local:
        hidden = f"{base}/.{version}.building"
        _copy(release, fs, hidden)
        Path(hidden).rename(path)
    else:
        _copy(release, fs, path)
    write_json(f"{base}/{LATEST_FILE}", {"version": version})
    return target


def _check_is_same(release: Path, fs: Any, path: str, target: str) -> None:
    if fs.cat_file(f"{path}/{SUMS_FILE}") != (release / SUMS_FILE).read_bytes():
        raise ReleaseError(f"{target} is another release of that version: releases are immutable, choose another place")
    problems = verify_release(target)
    if problems:
        raise ReleaseError(f"{target} is there and damaged: {problems[0]}; delete it, and publish again")


def _copy(release: Path, fs: Any, target: str) -> None:
    """Every file, each read back, SHA256SUMS last; a file that is there already is read, not sent again."""
    sums = read_sums(release)
    sums[SUMS_FILE] = sha256_of(release / SUMS_FILE)
    for name, expected in sums.items():
        remote = f"{target}/{name}"
        if fs.exists(remote) and sha256_of(remote, fs) == expected:
            continue
        fs.makedirs(remote.rpartition("/")[0], exist_ok=True)
        fs.put_file(str(release / name), remote)
        if sha256_of(remote, fs) != expected:
            raise ReleaseError(f"{remote} does not read back as it was sent: publish again")
