"""The pace, the breaker, and that both outlive a run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from datasets.outcomes import TransientError
from datasets.tables import list_parts, read_table
from extract.site.pacer import Pacer, PacerSettings, parse_retry_after


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
    assert caught.value.reason == reason
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


def test_what_opened_the_breaker_is_the_reason_of_what_waits(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    pacer.observe("bot_check")
    with pytest.raises(TransientError) as caught:
        pacer.acquire()
    assert caught.value.reason == "bot_check"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 22 Nov 2026 10:02:00 GMT", 120),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("soon", None),
        ("Sun, 22 Nov 2026 10:02:00 +99999999999999999999", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None, clock: Clock) -> None:
    assert parse_retry_after(value, clock.now()) == seconds


def test_a_longer_wait_asked_for_outlasts_the_doubling_but_not_the_limit(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_breaker_s=5 * 3600)
    pauses = []
    for asked in (10_000, 60, 10**9):
        pacer.observe("rate_limited", 429, asked)
        pauses.append((pacer.open_until - clock.now()).total_seconds())
        clock.sleep(pauses[-1])
    assert pauses == [10_000, 7200, 5 * 3600]


def test_wait_asked_for_by_a_busy_server_is_no_refusal(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock)
    pacer.observe("network", 503, 90)
    assert pacer.open_until == clock.now() + timedelta(seconds=90)
    clock.sleep(90)
    pacer.observe("rate_limited")
    assert pacer.open_until == clock.now() + timedelta(hours=1)


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


def test_forecast_counts_the_days_that_a_daily_limit_takes(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_per_day=100, max_videos_per_hour=100)
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    assert pacer.finish_time(100) == clock.now() + timedelta(hours=1)
    pacer.acquire()
    assert pacer.finish_time(99) == clock.now() + timedelta(hours=0.99)
    assert pacer.finish_time(249) == today + timedelta(days=2, hours=0.5)


def test_switched_off_it_neither_waits_nor_writes(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, enabled=False)
    for _ in range(1000):
        pacer.acquire()
    pacer.observe("rate_limited")
    pacer.save()
    assert clock.seconds == 0
    assert list_parts(tmp_path, "requests") == []


def test_a_day_has_no_more_than_its_requests_and_the_next_day_goes_on(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_per_day=3)
    for _ in range(3):
        pacer.acquire()
    assert pacer.open_until == datetime(2026, 11, 23, tzinfo=UTC)
    with pytest.raises(TransientError, match="the day's 3 requests are spent; nothing is asked until 2026-11-23 00:00"):
        pacer.acquire()
    clock.seconds += 14 * 3600
    pacer.acquire()
    assert pacer.open_until is None


def test_what_a_day_spent_is_known_to_the_next_run(tmp_path: Path, clock: Clock) -> None:
    first = start(tmp_path, clock, max_per_day=3)
    for _ in range(3):
        first.acquire()
    first.save()
    assert start(tmp_path, clock, max_per_day=3).open_until is not None
    assert start(tmp_path, clock).open_until is None


def test_a_refusal_of_the_days_last_request_still_opens_the_breaker(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_per_day=1, breaker_s=20 * 3600)
    pacer.acquire()
    pacer.observe("rate_limited")
    assert pacer.open_until == clock.now() + timedelta(hours=20) and "asked us to stop" in pacer.why_closed


def test_a_clock_set_back_over_midnight_finds_what_the_earlier_day_has_spent(tmp_path: Path, clock: Clock) -> None:
    pacer = start(tmp_path, clock, max_per_day=5, burst=30)
    for _ in range(3):
        pacer.acquire()
    clock.begin += timedelta(days=1)
    pacer.acquire()
    clock.begin -= timedelta(days=1)
    assert pacer.num_requests_today == 3
    pacer.acquire()
    pacer.save()
    clock.begin += timedelta(days=1)
    later = start(tmp_path, clock, max_per_day=5, burst=30)
    clock.begin -= timedelta(days=1)
    assert later.num_requests_today == 4


def test_a_clock_set_back_by_a_year_does_not_keep_the_breaker_open_for_one(tmp_path: Path, clock: Clock) -> None:
    clock.begin += timedelta(days=365)
    start(tmp_path, clock).observe("rate_limited")
    clock.begin -= timedelta(days=365)
    pacer = start(tmp_path, clock)
    assert pacer.open_until == clock.now() + timedelta(seconds=PacerSettings().max_breaker_s)
    clock.sleep(PacerSettings().max_breaker_s)
    pacer.acquire()
