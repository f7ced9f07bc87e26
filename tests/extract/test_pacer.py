"""The pace, the breaker, and that both outlive a run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from datasets.schemas import TransientError
from datasets.tables import list_parts, read_table
from extract.pacer import Pacer, PacerSettings


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.begin = datetime(2026, 11, 22, 10, tzinfo=UTC)

    def now(self) -> datetime:
        return self.begin + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def start(root: Path, clock: Clock, **settings) -> Pacer:
    return Pacer(
        root, "youtube", PacerSettings(**settings), "run", clock=lambda: clock.seconds, now=clock.now, sleep=clock.sleep
    )


def test_hour_has_no_more_than_its_videos(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_videos_per_hour=240, burst=1)
    for _ in range(241):
        pacer.acquire()
    assert clock.seconds == pytest.approx(3600, abs=0.1)


def test_default_stays_below_300_in_any_hour(tmp_path: Path, clock: Clock) -> None:
    settings = PacerSettings()
    assert settings.max_videos_per_hour + settings.burst < 300


def test_threads_share_one_pace(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_videos_per_hour=200, burst=1)
    threads = [Thread(target=lambda: [pacer.acquire() for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pacer.num_requests_today == 40
    assert clock.seconds >= 39 * 3600 / 200 - 0.1


def test_spent_requests_outlive_the_run(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    for _ in range(25):
        pacer.acquire()
    pacer.save()
    again = start(tmp_path, clock)
    again.acquire()
    again.save()
    rows = read_table(tmp_path, "requests").to_pylist()
    assert [(row["day"], row["source"], row["num_requests"]) for row in rows] == [("2026-11-22", "youtube", 26)]
    assert len(list_parts(tmp_path, "requests")) == 1


def test_starting_again_gives_no_new_burst(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, burst=4)
    pacer.acquire()
    pacer.save()
    again = start(tmp_path, clock, burst=4)
    before = clock.seconds
    again.acquire()
    assert clock.seconds > before


def test_days_are_counted_apart(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    pacer.acquire()
    pacer.save()
    clock.sleep(86_400)
    pacer.acquire()
    pacer.save()
    rows = sorted(read_table(tmp_path, "requests").to_pylist(), key=lambda row: row["day"])
    assert [(row["day"], row["num_requests"]) for row in rows] == [("2026-11-22", 1), ("2026-11-23", 1)]


@pytest.mark.parametrize("reason", ["rate_limited", "bot_check"])
def test_refusal_opens_the_breaker_for_an_hour(reason: str, tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    pacer.observe(reason)
    with pytest.raises(TransientError, match=r"nothing is asked until 2026-11-22 11:00 UTC") as caught:
        pacer.acquire()
    assert caught.value.reason == "rate_limited"
    clock.sleep(3600)
    pacer.acquire()


def test_open_breaker_is_the_same_for_the_next_run(tmp_path: Path, clock: Clock) -> None:
    start(tmp_path, clock).observe("bot_check")
    clock.sleep(1800)
    with pytest.raises(TransientError):
        start(tmp_path, clock).acquire()


def test_refusals_in_a_row_double_the_pause_up_to_its_limit(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_breaker_s=4 * 3600)
    pauses = []
    for _ in range(4):
        pacer.observe("rate_limited")
        pauses.append((pacer.open_until - clock.now()).total_seconds())
        clock.sleep(pauses[-1])
    assert pauses == [3600, 7200, 14400, 14400]


def test_success_ends_the_doubling(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    pacer.observe("rate_limited")
    clock.sleep(3600)
    pacer.observe(None)
    pacer.observe("rate_limited")
    assert pacer.open_until == clock.now() + timedelta(hours=1)


def test_doubling_goes_on_in_the_next_run(tmp_path: Path, clock: Clock) -> None:
    for hours in (1, 2, 4):
        pacer = start(tmp_path, clock)
        pacer.observe("rate_limited")
        assert pacer.open_until == clock.now() + timedelta(hours=hours)
        clock.sleep(hours * 3600)


def test_answers_that_were_under_way_do_not_close_the_breaker(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    pacer.observe("rate_limited")
    pacer.observe("rate_limited")
    pacer.observe(None)
    assert pacer.open_until == clock.now() + timedelta(hours=1)
    clock.sleep(3600)
    pacer.observe("rate_limited")
    assert pacer.open_until == clock.now() + timedelta(hours=2)


def test_other_failures_leave_the_breaker_closed(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    for reason in ("network", "removed", "unexpected"):
        pacer.observe(reason)
    assert pacer.open_until is None


def test_forecast_counts_the_pause(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_videos_per_hour=200)
    assert pacer.finish_time(1000) == clock.now() + timedelta(hours=5)
    pacer.observe("rate_limited")
    assert pacer.finish_time(1000) == clock.now() + timedelta(hours=6)


def test_switched_off_it_neither_waits_nor_writes(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, enabled=False)
    for _ in range(1000):
        pacer.acquire()
    pacer.observe("rate_limited")
    pacer.save()
    assert clock.seconds == 0
    assert list_parts(tmp_path, "requests") == []
