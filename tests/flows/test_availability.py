"""Known videos are asked for once a day, politely and without a download; the share over time is kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from datasets.outcomes import OK, failed
from datasets.tables import make_table, read_table, write_part
from flows.config import Config
from flows.stages.availability import check_availability
from flows.status import read_availability
from tests.extract.data_channel import QUICK, make_item, open_channel, source_of

TODAY = f"{datetime.now(UTC):%F}"
YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%F}"
ITEMS = [make_item("stillthere1"), make_item("removed0001", availability="removed"), make_item("gonealready")]


def write_known(root):
    """Three selected videos, of which one was found gone yesterday, and one that a rule dropped."""
    rows = [{"video_id": item["id"], **OK} for item in ITEMS]
    rows.append({"video_id": "notselected", "status": "dropped", "reason": "too_few_views"})
    write_part(root, "videos", make_table("videos", rows, recipe="r", run_id="x"))
    found = {"stillthere1": OK, "removed0001": OK, "gonealready": failed("private")}
    rows = [{"video_id": video_id, "day": YESTERDAY, **outcome} for video_id, outcome in found.items()]
    write_part(root, "availability", make_table("availability", rows, recipe="y", run_id="x"))


def check(root, folder, **pacer):
    with open_channel(folder, ITEMS) as site:
        config = Config(root=str(root), source=source_of(site), download=QUICK, pacer=pacer)
        check_availability(config)
        return site.RequestHandlerClass.asked


@pytest.fixture(scope="module")
def checked(tmp_path_factory, prefect_server):
    root = tmp_path_factory.mktemp("checked")
    write_known(root)
    return root, check(root, tmp_path_factory.mktemp("channel"))


def test_each_known_video_is_asked_for_once_and_none_downloaded(checked):
    assert sorted(checked[1]) == ["/watch?v=removed0001", "/watch?v=stillthere1"]


def test_rows_say_what_can_still_be_had_and_why_not(checked):
    rows = read_table(checked[0], "availability").to_pylist()
    today = {row["video_id"]: row["reason"] for row in rows if row["day"] == TODAY}
    assert today == {"stillthere1": None, "removed0001": "removed"}


def test_the_share_is_kept_over_time(checked):
    shares = read_availability(str(checked[0])).to_dict("records")
    assert [(row["day"], row["asked"], row["known"], row["available"]) for row in shares] == [
        (YESTERDAY, 3, 3, 2),
        (TODAY, 2, 3, 1),
    ]
    assert [round(row["percent"]) for row in shares] == [67, 33]


def test_a_second_check_on_the_same_day_asks_for_nothing(checked, tmp_path):
    assert check(checked[0], tmp_path) == []


def test_checks_count_as_requests_of_the_pacer(checked):
    requests = read_table(checked[0], "requests").to_pylist()
    assert [row["num_requests"] for row in requests] == [2]


def test_trouble_is_no_answer(tmp_path):
    rows = [{"video_id": "a", "day": TODAY, **OK}, {"video_id": "b", "day": TODAY, **failed("network")}]
    write_part(tmp_path, "availability", make_table("availability", rows, recipe="r", run_id="x"))
    assert read_availability(str(tmp_path)).to_dict("records")[0]["percent"] == 100.0


def test_the_report_shows_the_share_over_time(checked):
    from flows.report.build import build_report

    page = Path(build_report(Config(root=str(checked[0])), 1, 0)).read_text(encoding="utf-8")
    assert "Still there" in page and YESTERDAY in page and "66.7" in page
