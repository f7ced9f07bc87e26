"""The Hugging Face Hub, by its client's documented calls: create_repo, create_commit, create_tag."""

from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile

from datasets.releases.shards import ReleaseError
from datasets.releases.verify import sum_files

_KEPT = (".gitattributes",)


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
        _commit(api, release, version, repo_id)
        _compare(api, release, repo_id, "main")
        api.create_tag(repo_id, tag=version, repo_type="dataset", exist_ok=True)
    _compare(api, release, repo_id, version)
    return f"hf://datasets/{repo_id}@{version}"


def _commit(api: HfApi, release: Path, version: str, repo_id: str) -> None:
    info = api.dataset_info(repo_id)
    there = {file.rfilename for file in info.siblings or []}
    own = {path.relative_to(release).as_posix(): path for path in sorted(release.rglob("*")) if path.is_file()}
    operations: list[Any] = [CommitOperationDelete(name) for name in sorted(there - set(own)) if name not in _KEPT]
    operations += [CommitOperationAdd(name, path) for name, path in own.items()]
    message = f"Release {version}"
    try:
        api.create_commit(repo_id, operations, commit_message=message, repo_type="dataset", parent_commit=info.sha)
    except RuntimeError as error:  # what the client makes of a file that did not arrive
        raise OSError(f"{error} The same command goes on.") from error


def _compare(api: HfApi, release: Path, repo_id: str, revision: str) -> None:
    """What the Hub says it holds, against the release: every file, its size, and the sha256 of large ones."""
    sums = sum_files(release)
    found = {}
    for entry in api.list_repo_tree(repo_id, recursive=True, repo_type="dataset", revision=revision):
        if isinstance(entry, RepoFile) and entry.path not in _KEPT:
            found[entry.path] = (entry.size, entry.lfs.sha256 if entry.lfs else sums.get(entry.path))
    sent = {name: ((release / name).stat().st_size, digest) for name, digest in sums.items()}
    wrong = sorted(name for name in {*found, *sent} if found.get(name) != sent.get(name))
    if wrong:
        raise ReleaseError(f"hf://datasets/{repo_id}@{revision}: {wrong[0]} is not the file of this release")
