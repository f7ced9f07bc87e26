"""Where a release goes: a folder, an object store, the Hub. A kill leaves no half release that looks whole.

Folder: built beside under a hidden name, then renamed. Object store: SHA256SUMS goes last, and a prefix without it is
no release. Hub: one commit makes all files visible at once; then a tag names the version. Doing it again goes on where
it stopped, and every byte is read back before the last step.
"""

from pathlib import Path
from typing import Any

import fsspec
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile

from datasets.files import no_room_is_of, sha256_of, store_errors, write_json
from datasets.releases.layout import LATEST_FILE, SIGNATURE_FILE, STUB_FILE, SUMS_FILE
from datasets.releases.seals import read_sums, sum_files
from datasets.releases.shards import ReleaseError
from datasets.releases.verify import verify_place

_HUB = "hf://datasets/"
_KEPT = (".gitattributes",)
"""Files that the Hub itself keeps in a repository."""


def send_release(release: Path, version: str, destination: str) -> str:
    """Bring a release, or an export of one, to a destination.

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
    problems = verify_place(release)
    if problems:
        raise ReleaseError(f"{release} is not sent: {problems[0]}")
    if destination.startswith(_HUB):
        return send_to_hub(release, version, destination.removeprefix(_HUB))
    try:
        return _send_to_files(release, version, destination)
    except OSError:
        raise
    except store_errors() as error:
        raise OSError(f"{destination}: {error}") from error


def _send_to_files(release: Path, version: str, destination: str) -> str:
    is_local = "://" not in destination
    base = str(Path(destination).absolute()) if is_local else destination.rstrip("/")
    target = f"{base}/{version}"
    fs, path = fsspec.core.url_to_fs(target)
    if fs.exists(f"{path}/{SUMS_FILE}"):
        if fs.cat_file(f"{path}/{SUMS_FILE}") != (release / SUMS_FILE).read_bytes():
            told = f"{target} is another release of that version"
            raise ReleaseError(f"{told}: releases are immutable, choose another place")
        if problems := verify_place(target):
            raise ReleaseError(f"{target} is there and damaged: {problems[0]}; delete it, and publish again")
        _copy(release, fs, path)  # a signature that was made since
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


def _copy(release: Path, fs: Any, target: str) -> None:
    """Every file, each read back, SHA256SUMS last; a file that is there already is read, not sent again."""
    sums = read_sums(release)
    signed = [SIGNATURE_FILE] if (release / SIGNATURE_FILE).exists() else []
    sums |= {name: sha256_of(release / name) for name in (*signed, SUMS_FILE)}
    for name, expected in sums.items():
        remote = f"{target}/{name}"
        if fs.exists(remote) and sha256_of(remote, fs) == expected:
            continue
        fs.makedirs(remote.rpartition("/")[0], exist_ok=True)
        with no_room_is_of(remote):
            fs.put_file(str(release / name), remote)
        if sha256_of(remote, fs) != expected:
            raise ReleaseError(f"{remote} does not read back as it was sent: publish again")


def send_to_hub(release: Path, version: str, repo_id: str) -> str:
    """Make a release the content of a dataset repository, in one commit, and tag it with its version.

    `upload_folder` commits in several steps when Xet is there; one `create_commit` is what makes a release appear all
    at once. Large files are sent before it, and those that are there already are not sent again. A new repository is
    private: whoever publishes opens it on the Hub, best with gated access.

    Returns:
        Address of the release in the client's notation.

    Raises:
        ReleaseError: the tag is there with other files, or what is there does not have the sums that were sent.
    """
    api = HfApi()
    api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
    refs = api.list_repo_refs(repo_id, repo_type="dataset")
    if version not in {tag.name for tag in refs.tags}:
        info = api.dataset_info(repo_id)
        there = {file.rfilename for file in info.siblings or []}
        own = {path.relative_to(release).as_posix(): path for path in sorted(release.rglob("*")) if path.is_file()}
        changes: list[Any] = [CommitOperationDelete(name) for name in sorted(there - set(own)) if name not in _KEPT]
        changes += [CommitOperationAdd(name, path) for name, path in own.items()]
        told: dict[str, Any] = {"commit_message": f"Release {version}", "parent_commit": info.sha}
        try:
            api.create_commit(repo_id, changes, repo_type="dataset", **told)
        except RuntimeError as error:  # what the client makes of a file that did not arrive
            raise OSError(f"{error} The same command goes on.") from error
        _compare(api, release, repo_id, "main")
        api.create_tag(repo_id, tag=version, repo_type="dataset", exist_ok=True)
    _compare(api, release, repo_id, version)
    return f"hf://datasets/{repo_id}@{version}"


def _compare(api: HfApi, release: Path, repo_id: str, revision: str) -> None:
    """What the Hub says it holds, against the release: every file, its size, and the sha256 of large ones."""
    signature = release / SIGNATURE_FILE
    sums = sum_files(release) | ({SIGNATURE_FILE: sha256_of(signature)} if signature.exists() else {})
    found = {}
    for entry in api.list_repo_tree(repo_id, recursive=True, repo_type="dataset", revision=revision):
        if isinstance(entry, RepoFile) and entry.path not in _KEPT:
            found[entry.path] = (entry.size, entry.lfs.sha256 if entry.lfs else sums.get(entry.path))
    sent = {name: ((release / name).stat().st_size, digest) for name, digest in sums.items()}
    wrong = sorted(name for name in {*found, *sent} if found.get(name) != sent.get(name))
    if wrong:
        raise ReleaseError(f"hf://datasets/{repo_id}@{revision}: {wrong[0]} is not the file of this release")
