"""A polite pace, shared by all threads and kept across runs; and a breaker that opens when the site says stop.

What a day has spent and how long the breaker stays open lie in the table `requests`, one row per day and source, so
that every command and every restart goes on where the last one left off.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from datasets.outcomes import OK, TransientError
from datasets.settings import Settings, recipe_of
from datasets.tables import make_table, read_table, write_part

STOP_REASONS = frozenset({"rate_limited", "bot_check"})
"""Answers after which nothing more is asked for a while."""

FORBIDDEN = 403
HOUR_S = 3600.0


class PacerSettings(Settings):
    """How politely a site is asked. None of it changes a result."""

    enabled: bool = True
    """Off only for a site of your own, such as the demo's."""
    max_videos_per_hour: int = Field(default=240, ge=1, le=300)
    """Videos and searches asked for in an hour; yt-dlp's maintainers name about 300 for a guest session."""
    max_per_day: int | None = Field(default=None, ge=1)
    """Requests in one UTC day, all runs together; without limit when not set."""
    burst: int = Field(default=4, ge=1, le=30)
    """So many may be asked at once after a pause."""
    breaker_s: float = Field(default=HOUR_S, gt=0)
    """Pause after the first refusal, in seconds; each further refusal in a row doubles it."""
    max_breaker_s: float = Field(default=24 * HOUR_S, gt=0)
    """Longest pause, in seconds."""
    max_forbidden: int = Field(default=10, ge=1)
    """So many 403 in a row, no video fetched between them, are a refusal too; one may be an address gone stale."""
    save_every: int = Field(default=10, ge=1)
    """Requests between two writings of the table; a kill forgets at most so many."""
    request_pause_s: float = Field(default=0.75, ge=0, le=60)
    """Seconds between the pages that one video or search takes: what yt-dlp's own preset `-t sleep` waits."""


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, as seconds or as a date; None where it says nothing usable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a zone of twenty digits is no length of time
        return None
    return max((when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds(), 0.0)


class Pacer:
    """The limiter and breaker of one source; all threads of a run share one.

    Args:
        root: dataset root with the table `requests`.
        source: name of the source.
        settings: the pace.
        run_id: written into the rows.
        clock: seconds that never go back; for tests.
        now: the time of day, UTC; for tests.
        sleep: for tests.
    """

    def __init__(
        self,
        root: str | Path,
        source: str,
        settings: PacerSettings,
        run_id: str = "",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._root, self._source, self._settings, self._run_id = root, source, settings, run_id
        self._clock, self._now, self._sleep = clock, now, sleep
        self._lock = threading.Lock()
        self._tokens = float(settings.burst)
        self._filled_at = clock()
        self._num_unsaved = 0
        self._num_refusals = 0
        self._num_forbidden = 0
        self._stop_reason = "rate_limited"
        self._open_until: datetime | None = None
        rows = [row for row in read_table(root, "requests").to_pylist() if row["source"] == source]
        # Every day's, not today's alone: a clock set back finds what an earlier day has spent.
        self._num_requests: dict[str, int] = {row["day"]: row["num_requests"] for row in rows}
        if rows:
            newest = max(rows, key=lambda row: str(row["day"]))
            self._num_refusals = newest["num_refusals"] or 0
            if newest["breaker_open_until"] is not None:
                # What seems longer than the longest pause was written before the clock was set back.
                longest = now() + timedelta(seconds=settings.max_breaker_s)
                self._open_until = min(newest["breaker_open_until"], longest)
        # Starting again and again must not give a new burst each time.
        if self.num_requests_today:
            self._tokens = 0.0

    @property
    def is_enabled(self) -> bool:
        """False for a site of one's own, which is asked as fast as it answers."""
        return self._settings.enabled

    @property
    def request_pause_s(self) -> float:
        """Seconds between the pages of one video or search; none for a site of one's own."""
        return self._settings.request_pause_s if self._settings.enabled else 0.0

    @property
    def open_until(self) -> datetime | None:
        """When requests are allowed again; None while they are."""
        moments = [moment for moment in (self._refused_until, self._next_budget) if moment is not None]
        return max(moments, default=None)

    @property
    def why_closed(self) -> str:
        """Why nothing is asked, and until when; only while `open_until` says so."""
        budget, until = self._next_budget, f"{self.open_until:%F %H:%M} UTC"
        if budget is not None and budget == self.open_until:
            return f"the day's {self._settings.max_per_day} requests are spent; nothing is asked until {until}"
        return f"{self._source} asked us to stop; nothing is asked until {until}"

    @property
    def _refused_until(self) -> datetime | None:
        return self._open_until if self._open_until is not None and self._now() < self._open_until else None

    @property
    def _next_budget(self) -> datetime | None:
        """The next UTC midnight when the day's requests are spent."""
        limit = self._settings.max_per_day
        if not self._settings.enabled or limit is None or self.num_requests_today < limit:
            return None
        return self._now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    @property
    def num_requests_today(self) -> int:
        """Requests of this UTC day, all runs together."""
        return self._num_requests.get(self._day(), 0)

    def acquire(self) -> None:
        """Wait for the turn of one request.

        Raises:
            TransientError: the breaker is open; `reason` is what opened it in this run, else rate_limited.
        """
        if not self._settings.enabled:
            return
        per_second = self._settings.max_videos_per_hour / HOUR_S
        while True:
            with self._lock:
                if self.open_until is not None:
                    raise TransientError(self._stop_reason, self.why_closed)
                now = self._clock()
                self._tokens = min(float(self._settings.burst), self._tokens + (now - self._filled_at) * per_second)
                self._filled_at = now
                if self._tokens >= 1:
                    self._tokens -= 1
                    day = self._day()
                    self._num_requests[day] = self._num_requests.get(day, 0) + 1
                    self._num_unsaved += 1
                    if self._num_unsaved >= self._settings.save_every:
                        self._save()
                    return
                wait_s = (1 - self._tokens) / per_second
            self._sleep(wait_s)

    def observe(self, reason: str | None, http_status: int | None = None, retry_after_s: float | None = None) -> None:
        """Tell how a video or a search ended: refusals open the breaker, a success ends the doubling.

        Args:
            reason: of the failure; None for a success.
            http_status: of the answer that refused, if one did.
            retry_after_s: how long that answer asked us to wait.
        """
        if not self._settings.enabled:
            return
        with self._lock:
            self._num_forbidden = 0 if reason is None else self._num_forbidden + (http_status == FORBIDDEN)
            if self._refused_until is not None:
                return
            if reason in STOP_REASONS or self._num_forbidden >= self._settings.max_forbidden:
                self._stop_reason = reason if reason in STOP_REASONS else "rate_limited"
                self._open(max(self._settings.breaker_s * 2**self._num_refusals, retry_after_s or 0))
                self._num_refusals += 1
                self._save()
            elif reason is not None and retry_after_s:
                self._open(retry_after_s)
                self._save()
            elif reason is None and self._num_refusals:
                self._num_refusals = 0
                self._save()

    def _open(self, pause_s: float) -> None:
        self._num_forbidden = 0
        self._open_until = self._now() + timedelta(seconds=min(pause_s, self._settings.max_breaker_s))

    def finish_time(self, num_videos: int) -> datetime:
        """Forecast: when so many more videos will have been asked for at this pace, and within each day's requests."""
        begin, limit = self.open_until or self._now(), self._settings.max_per_day
        a_video = timedelta(hours=1) / self._settings.max_videos_per_hour
        finish = begin + num_videos * a_video
        if limit is None:
            return finish
        num_days, num_before = divmod(self._num_requests.get(f"{begin:%F}", 0) + num_videos - 1, limit)
        last_day = begin.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=num_days)
        return max(finish, last_day + (num_before + 1) * a_video) if num_days > 0 else finish

    def save(self) -> None:
        """Write what was spent; call it at the end of a run."""
        with self._lock:
            if self._num_unsaved:
                self._save()

    def _day(self) -> str:
        return f"{self._now():%F}"

    def _save(self) -> None:
        row: dict[str, Any] = {
            "day": self._day(),
            "source": self._source,
            "num_requests": self.num_requests_today,
            "num_refusals": self._num_refusals,
            "breaker_open_until": self._open_until,
            **OK,
        }
        recipe = recipe_of("requests", self._source)
        write_part(self._root, "requests", make_table("requests", [row], recipe=recipe, run_id=self._run_id))
        self._num_unsaved = 0
