"""Which videos come first, what a failed batch leaves to the others, and what a run says of its pace."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets.outcomes import OK
from datasets.tables import make_table, write_part
from extract.site.pacer import Pacer, PacerSettings
from flows.config import Config
from flows.machinery.pacing import tell_forecast
from flows.machinery.run import Run
from flows.stages.download import do_until_closed, open_threads, rank_videos


def test_each_video_comes_once_as_its_best_rank_found_it(tmp_path):
    found = [("q1", "b", 1), ("q1", "a", 2), ("q2", "c", 1), ("q2", "b", 2), ("q3", "a", 1), ("q3", "d", 3)]
    rows = [
        {"query": query, "video_id": video_id, "rank": rank, "title": f"{query} {rank}", **OK}
        for query, video_id, rank in found
    ]
    write_part(tmp_path, "discoveries", make_table("discoveries", rows, recipe="r", run_id="x"))
    ranked = rank_videos(Run(Config(root=str(tmp_path)), "x"))
    assert list(zip(*ranked.select(["video_id", "title"]).to_pydict().values(), strict=True)) == [
        ("a", "q3 1"),
        ("b", "q1 1"),
        ("c", "q2 1"),
        ("d", "q3 3"),
    ]


def test_what_ended_before_the_threads_were_closed_is_kept_and_the_rest_never_begins():
    threads = ThreadPoolExecutor(1)
    begun = []

    def fetch(row):
        begun.append(row)
        if row == 2:
            threads.shutdown(wait=False, cancel_futures=True)
        return row

    assert do_until_closed(threads, fetch, [1, 2, 3, 4]) == [1, 2] == begun


def test_a_batch_that_begins_after_another_failed_does_nothing_and_is_no_failure_of_its_own():
    with pytest.raises(OSError, match="full"), open_threads(1) as threads:
        raise OSError("full")
    assert do_until_closed(threads, pytest.fail, [{}]) == []


@pytest.fixture
def said(caplog):
    """What the run logged so far."""
    caplog.set_level(logging.INFO, logger="curation")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_run_says_when_its_list_will_be_done(tmp_path, said):
    pacer = Pacer(tmp_path, "youtube", PacerSettings())
    tell_forecast(pacer, "videos", 2400)
    assert said() == [f"2400 videos left, done about {pacer.finish_time(2400):%F %H:%M} UTC or sooner"]


def test_a_run_that_was_told_to_stop_says_so_and_counts_the_pause(tmp_path, said):
    pacer = Pacer(tmp_path, "youtube", PacerSettings())
    pacer.observe("rate_limited")
    tell_forecast(pacer, "videos", 240)
    until, done = (f"{when:%F %H:%M} UTC" for when in (pacer.open_until, pacer.finish_time(240)))
    why = f"youtube asked us to stop; nothing is asked until {until}"
    assert said() == [f"{why}: 240 videos left, done about {done}"]


def test_a_run_whose_day_is_spent_says_that_and_not_that_the_site_stopped_it(tmp_path, said):
    pacer = Pacer(tmp_path, "youtube", PacerSettings(max_per_day=1))
    pacer.acquire()
    tell_forecast(pacer, "videos", 240)
    assert said()[0].startswith(
        f"the day's 1 requests are spent; nothing is asked until {pacer.open_until:%F} 00:00 UTC"
    )


def test_without_a_pace_there_is_nothing_to_foretell(tmp_path, said):
    tell_forecast(Pacer(tmp_path, "site", PacerSettings(enabled=False)), "videos", 240)
    assert said() == []
