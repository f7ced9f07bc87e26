"""What was taken down is neither asked for nor named again, and the others are fetched as ever."""

import subprocess
from pathlib import Path

import pytest
from prefect import flow

from datasets.tables import read_table
from datasets.tombstones import add_tombstones, hash_id
from flows.config import Config
from flows.machinery.run import start_run
from flows.stages.download import fetch_videos
from flows.stages.search import find_videos
from tests.extract.data_channel import QUICK, make_item, make_video, open_channel, source_of


@flow(name="find-and-fetch")
def find_and_fetch(config: Config) -> None:
    run = start_run(config)
    find_videos(run)
    fetch_videos(run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("channel")
    make_video(folder / "good.mp4")
    (folder / "queries.txt").write_text("肉じゃが", encoding="utf-8")
    return folder


def acquire(root: Path, folder: Path) -> tuple[dict, list[str]]:
    items = [make_item("goodvideo01"), make_item("takendown01"), make_item("badchannel1", channel_id="UCgone")]
    with open_channel(folder, items) as site:
        search = {"queries": str(folder / "queries.txt"), "depth": 10}
        shared = {"search": search, "source": source_of(site), "download": QUICK, "pacer": {"enabled": False}}
        find_and_fetch(Config(root=str(root), **shared))
        asked = site.RequestHandlerClass.asked
    return {row["video_id"]: row["reason"] for row in read_table(root, "videos").to_pylist()}, asked


def test_tombstoned_video_and_channel_leave_a_reason_and_no_trace(tmp_path, folder, prefect_server):
    root = tmp_path / "root"
    add_tombstones(root, "video", ["takendown01"], "owner asked")
    add_tombstones(root, "channel", ["UCgone"], "owner asked")
    reasons, asked = acquire(root, folder)
    assert reasons == {
        "goodvideo01": None,
        hash_id("video", "takendown01"): "tombstoned",
        "badchannel1": "tombstoned",
    }
    assert not any("takendown01" in path for path in asked)
    found = subprocess.run(["grep", "-rlE", "takendown01|UCgone", str(root)], capture_output=True, text=True)
    assert found.stdout == ""
    for table in ("discoveries", "videos", "media"):
        assert "takendown01" not in str(read_table(root, table).to_pylist())


def test_a_video_found_before_its_takedown_is_not_fetched(tmp_path, folder, prefect_server):
    root = tmp_path / "root"
    reasons, _ = acquire(root, folder)
    assert set(reasons.values()) == {None}
    again = tmp_path / "again"
    again.mkdir()
    for table in ("discoveries", "searches"):
        (root / table).rename(again / table)
    add_tombstones(again, "video", ["takendown01"], "owner asked")
    reasons, asked = acquire(again, folder)
    assert reasons["takendown01"] == "tombstoned" and reasons["goodvideo01"] is None
    assert not any("takendown01" in path for path in asked)
