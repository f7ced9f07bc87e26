"""A hostile site: every fault through the real YoutubeDL, its row read back from Parquet, nothing else harmed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datasets.schemas import MEDIA_REASONS, Policy, TransientError, failed
from datasets.tables import make_table, read_table, write_part
from extract.reasons import TRANSIENT
from extract.selection import SelectionSettings
from extract.youtube import DownloadSettings, fetch_video
from tests.extract.data_channel import source_of
from tests.extract.fault_server import FAULTS, GOOD, FaultSite, open_fault_site, running

LIMITS = DownloadSettings(
    min_free_bytes=0, max_bytes=20_000_000, retries=2, retry_sleep_s=0, socket_timeout_s=1, timeout_s=6
)

# A page in place of the file may be a portal or a bot wall: to be tried again later, so it is trouble of the network.
OUTCOMES = {name: fault.outcome for name, fault in FAULTS.items()} | {
    "html": "network",
    "html_as_mp4": "network",
    "redirect_file": "unexpected",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultSite]:
    with running(open_fault_site(tmp_path_factory.mktemp("faults"))) as site:
        yield site


def fetch_rows(name: str, site: FaultSite, media_root: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Both rows; transient trouble becomes a row, as the flow makes it one after the last try."""
    video_id = site.ids[name]
    try:
        return fetch_video(video_id, media_root, source_of(site), SelectionSettings(), LIMITS)
    except TransientError as error:
        assert error.reason in TRANSIENT
        return {"video_id": video_id, "source": "site", **failed(error.reason, error.detail)}, None


def write_and_read(root: Path, table: str, row: dict[str, Any]) -> dict[str, Any]:
    write_part(root, table, make_table(table, [row], recipe="r", run_id="run"))
    return read_table(root, table).to_pylist()[0]


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 25


@pytest.mark.parametrize("name", FAULTS)
def test_fault_becomes_its_row(name: str, site: FaultSite, tmp_path: Path) -> None:
    video, media = fetch_rows(name, site, tmp_path / "media")
    row = write_and_read(tmp_path, "videos", video)
    if media is not None:
        has_final = media["status"] == "ok" or MEDIA_REASONS[media["reason"]] == Policy.NEVER
        assert row["reason"] == (None if has_final else media["reason"])
        row = write_and_read(tmp_path, "media", media)
    assert (row["reason"] or "ok") == OUTCOMES[name], row["detail"]
    files = sorted(path for path in tmp_path.rglob("*.mp4"))
    if OUTCOMES[name] == "ok":
        assert files == [tmp_path / "media" / row["media_path"]]
    else:
        assert files == [] or files == [path for path in files if path.name.startswith(".")]
    assert {path.name for path in tmp_path.iterdir()} <= {"media", "videos"}


def test_after_all_faults_good_videos_are_complete(site: FaultSite, tmp_path: Path) -> None:
    for name in ("dropped", "page_bad_json", "redirect_host", "html", "hls_file", "reset"):
        fetch_rows(name, site, tmp_path)
    for name in (*GOOD, "dropped_twice", "dropped_no_range", "media_503_twice"):
        site.forget()
        media = fetch_rows(name, site, tmp_path)[1]
        assert media is not None
        assert (tmp_path / media["media_path"]).read_bytes() == site.good_bytes(name)


def test_next_try_goes_on_where_the_connection_broke(site: FaultSite, tmp_path: Path) -> None:
    site.forget()
    assert fetch_rows("dropped", site, tmp_path)[0]["reason"] == "network"
    parts = list(tmp_path.rglob("*.part"))
    assert [path.stat().st_size > 0 for path in parts] == [True]
