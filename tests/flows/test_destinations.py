"""Releases brought to folders, an S3-compatible server on this machine, and a fake of the Hub's interface."""

import errno
import json
import shutil
from datetime import date
from itertools import count
from pathlib import Path

import fsspec
import pytest
from huggingface_hub.errors import HfHubHTTPError

from datasets.files import sha256_of
from datasets.releases.build import build_release
from datasets.releases.layout import find_video, release_path
from datasets.releases.settings import PublishSettings
from datasets.releases.shards import ReleaseError
from datasets.releases.verify import verify_release, verify_root
from flows.destinations import send_release
from tests.flows.fake_hub import open_hub
from tests.flows.object_store import serve_bucket
from tests.small_tables import FACTS, RUN, make_root, video_name

# huggingface_hub 2.4.0 with httpx2, while it uploads a large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
SETTINGS = PublishSettings(name="small", tiny_clips=2, small_clips=4, clips_per_shard=3)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    root = make_root(tmp_path_factory.mktemp("release") / "root")
    build_release(root, SETTINGS, RUN, date(2026, 11, 24), FACTS)
    return Path(release_path(root, "1.0.0"))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with serve_bucket("releases-of-test", tmp_path_factory.mktemp("store")) as store:
        yield store.bucket


@pytest.fixture
def hub(monkeypatch):
    with open_hub() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield server


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_holds_the_same_bytes_and_points_to_the_newest(release, tmp_path):
    target = send_release(release, "1.0.0", str(tmp_path / "away"))
    assert target == str(tmp_path / "away" / "1.0.0")
    own, copy = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (release, Path(target))
    )
    assert own == copy
    assert verify_root(tmp_path / "away") == []
    assert sorted(path.name for path in (tmp_path / "away").iterdir()) == ["1.0.0", "latest.json"]


def test_an_object_store_holds_a_release_that_verifies_in_place(release, bucket):
    target = send_release(release, "1.0.0", f"{bucket}/first")
    assert verify_release(target) == []
    assert len(find_video(target, video_name(0))[0]) == 3
    assert json.loads(fsspec.open(f"{bucket}/first/latest.json").open().read()) == {"version": "1.0.0"}


def test_a_changed_byte_in_the_object_store_is_found(release, bucket):
    target = send_release(release, "1.0.0", f"{bucket}/damaged")
    fs = fsspec.filesystem("s3")
    shard = f"{target}/data/pooled/val-00000-of-00002.parquet"
    content = fs.cat_file(shard)
    fs.pipe_file(shard, content[:100] + b"?" + content[101:])
    assert verify_release(target) == ["data/pooled/val-00000-of-00002.parquet: not the bytes that were published"]
    with pytest.raises(ReleaseError, match="damaged"):
        send_release(release, "1.0.0", f"{bucket}/damaged")


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_what_was_cut_short_is_no_release_and_is_completed(release, place, bucket, tmp_path, monkeypatch):
    base = str(tmp_path / "away") if place == "folder" else f"{bucket}/short"
    fs = fsspec.core.url_to_fs(base)[0]
    looks = count()

    def stop_in_the_middle(*where):
        if next(looks) == 10:
            raise KeyboardInterrupt
        return sha256_of(*where)

    with monkeypatch.context() as patch:
        patch.setattr("flows.destinations.sha256_of", stop_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            send_release(release, "1.0.0", base)
    assert not fs.exists(f"{base}/latest.json") and not fs.exists(f"{base}/1.0.0/SHA256SUMS")
    assert verify_release(f"{base}/1.0.0") != []
    assert verify_release(send_release(release, "1.0.0", base)) == []


def test_a_version_is_never_overwritten(release, tmp_path):
    send_release(release, "1.0.0", str(tmp_path / "away"))
    other = make_root(tmp_path / "other", clips_per_video=4)
    build_release(other, SETTINGS, RUN, date(2026, 11, 24), FACTS)
    with pytest.raises(ReleaseError, match="immutable"):
        send_release(Path(release_path(other, "1.0.0")), "1.0.0", str(tmp_path / "away"))


def test_a_full_disk_is_that_of_the_place_that_is_sent_to(release, tmp_path, monkeypatch):
    def copy(source, target):  # as the system tells it where one file is copied into another
        raise OSError(errno.ENOSPC, "No space left on device", source)

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.put_file", lambda _, a, b: copy(a, b))
    with pytest.raises(OSError, match="No space left") as error:
        send_release(release, "1.0.0", str(tmp_path / "away"))
    assert error.value.filename.startswith(str(tmp_path / "away"))


def test_a_damaged_release_is_not_sent(release, tmp_path):
    copy = Path(shutil.copytree(release, tmp_path / "copy"))
    (copy / "README.md").write_text("other")
    with pytest.raises(ReleaseError, match=r"README\.md"):
        send_release(copy, "1.0.0", str(tmp_path / "away"))
    assert not (tmp_path / "away").exists()


def test_a_store_without_keys_is_an_error_of_one_line(release, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(OSError, match="credentials"):
        send_release(release, "1.0.0", "s3://nobodys-bucket/releases")


def test_the_hub_gets_one_commit_and_a_tag(release, hub):
    assert send_release(release, "1.0.0", "hf://datasets/cook/small") == "hf://datasets/cook/small@1.0.0"
    repo = hub.repos["cook/small"]
    assert len(repo["commits"]) == 2 and set(repo["tags"]) == {"1.0.0"}
    assert repo["asked"]["type"] == "dataset" and repo["asked"]["visibility"] == "private"
    files = {name: data for name, data in hub.files("cook/small").items() if name != ".gitattributes"}
    assert files == contents(release)


def test_the_next_release_replaces_the_files_and_leaves_the_tag(release, hub, tmp_path):
    send_release(release, "1.0.0", "hf://datasets/cook/small")
    other = make_root(tmp_path / "other", clips_per_video=4)
    build_release(other, SETTINGS, RUN, date(2026, 11, 24), FACTS)
    send_release(Path(release_path(other, "1.0.0")), "1.1.0", "hf://datasets/cook/small")
    main, first = (set(hub.files("cook/small", revision)) for revision in ("main", "1.0.0"))
    assert "data/pooled/train-00000-of-00004.parquet" in main and "data/pooled/train-00000-of-00003.parquet" not in main
    assert "data/pooled/train-00000-of-00003.parquet" in first


@pytest.mark.parametrize("step", ["commit", "tag"])
def test_what_the_hub_refused_shows_nothing_half_and_is_completed_later(release, hub, step):
    hub.refuse = {step}
    with pytest.raises(HfHubHTTPError):
        send_release(release, "1.0.0", "hf://datasets/cook/small")
    visible = set(hub.files("cook/small")) - {".gitattributes"}
    assert visible == (set() if step == "commit" else set(contents(release)))
    assert not hub.repos["cook/small"]["tags"]
    hub.refuse = set()
    send_release(release, "1.0.0", "hf://datasets/cook/small")
    assert set(hub.repos["cook/small"]["tags"]) == {"1.0.0"}


def test_what_the_hub_holds_is_compared_before_it_is_tagged(release, hub):
    hub.damage = True
    with pytest.raises(ReleaseError, match="is not the file of this release"):
        send_release(release, "1.0.0", "hf://datasets/cook/small")
    assert not hub.repos["cook/small"]["tags"]
