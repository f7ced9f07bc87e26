"""A hostile site: every fault through the real YoutubeDL, its row read back from Parquet, nothing else harmed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from datasets.outcomes import MEDIA_REASONS, VIDEO_REASONS, Policy, TransientError, failed
from datasets.tables import make_table, read_table, write_part
from extract.selection import SelectionSettings
from extract.site.fetch import DownloadSettings, fetch_video
from extract.site.pacer import Pacer, PacerSettings
from extract.site.reasons import TRANSIENT
from tests.extract.data_channel import source_of
from tests.extract.fault_server import FAULTS, GOOD, FaultSite, open_fault_site, running

LIMITS = DownloadSettings(
    min_free_bytes=0, max_bytes=20_000_000, retries=2, retry_sleep_s=0, socket_timeout_s=1, timeout_s=60
)
IMPATIENT = LIMITS.model_copy(update={"timeout_s": 6})
UP_TO_THE_LIMIT = ("trickle", "available_later")
"""What waits for the limit; all else must keep it on a busy machine, too."""

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
    video_id, limits = site.ids[name], IMPATIENT if name in UP_TO_THE_LIMIT else LIMITS
    try:
        return fetch_video(video_id, media_root, source_of(site), SelectionSettings(), limits)
    except TransientError as error:
        assert error.reason in TRANSIENT
        return {"video_id": video_id, "source": "site", **failed(error.reason, error.detail)}, None


def write_and_read(root: Path, table: str, row: dict[str, Any]) -> dict[str, Any]:
    write_part(root, table, make_table(table, [row], recipe="r", run_id="run"))
    return read_table(root, table).to_pylist()[0]


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 25


def test_every_reason_but_those_of_a_machine_or_a_list_has_a_fault() -> None:
    """The others: `disk_full` in test_youtube, missing formats in test_reasons, what settings refuse in test_selection,
    tombstones in tests/flows.
    """
    elsewhere = {"disk_full", "no_js_runtime", "po_token_required", "tombstoned"}
    elsewhere |= {"license_not_allowed", "already_known", "no_permission"}
    assert {outcome for outcome in OUTCOMES.values() if outcome != "ok"} == set(VIDEO_REASONS) - elsewhere


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


def refuse(name: str, site: FaultSite, root: Path, pacer: Pacer) -> None:
    with pytest.raises(TransientError):
        fetch_video(site.ids[name], root / "media", source_of(site), SelectionSettings(), LIMITS, pacer)


@pytest.mark.parametrize(
    ("name", "pause_s"),
    [
        ("media_429_retry_after", 7200),
        ("media_429", 3600),
        ("media_503_retry_after", 120),
        ("page_429_retry_date", 24 * 3600),
    ],
)
def test_pause_is_as_long_as_the_answer_asks_for(name: str, pause_s: float, site: FaultSite, tmp_path: Path) -> None:
    site.forget()
    pacer = Pacer(tmp_path / "root", "site", PacerSettings())
    refuse(name, site, tmp_path, pacer)
    assert pacer.open_until is not None
    assert (pacer.open_until - datetime.now(UTC)).total_seconds() == pytest.approx(pause_s, abs=30)
    num_requests = site.num_requests[name]
    assert num_requests == (1 if name.startswith("page") else 2)  # page and media, nothing asked twice
    refuse(name, site, tmp_path, pacer)
    assert site.num_requests[name] == num_requests


def test_storm_of_403_opens_the_breaker_though_the_pages_are_shown(site: FaultSite, tmp_path: Path) -> None:
    pacer = Pacer(tmp_path / "root", "site", PacerSettings(burst=30, max_forbidden=3))
    for number in range(3):
        assert pacer.open_until is None, number
        refuse("media_403", site, tmp_path, pacer)
    assert pacer.open_until is not None


def test_403_between_good_videos_leaves_the_breaker_closed(site: FaultSite, tmp_path: Path) -> None:
    pacer = Pacer(tmp_path / "root", "site", PacerSettings(burst=30, max_forbidden=2))
    for name in GOOD[:2]:
        refuse("media_403", site, tmp_path, pacer)
        fetch_video(site.ids[name], tmp_path / "media", source_of(site), SelectionSettings(), LIMITS, pacer)
    assert pacer.open_until is None


def test_next_try_goes_on_where_the_connection_broke(site: FaultSite, tmp_path: Path) -> None:
    site.forget()
    assert fetch_rows("dropped", site, tmp_path)[0]["reason"] == "network"
    parts = list(tmp_path.rglob("*.part"))
    assert [path.stat().st_size > 0 for path in parts] == [True]
