"""One bounded question to a host: no redirect, no unpacking, so many bytes, so much time."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from datasets.outcomes import TransientError
from extract.site.pacer import Pacer, parse_retry_after

MAX_BYTES = 512 << 10
"""RFC 9309 asks that as much of robots.txt be read."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str
    etag: str | None = None


class Web:
    """The connections of one run's questions; threads may share it.

    Args:
        timeout_s: seconds for an answer.
        pacer: told of refusals; while its breaker is open nothing is asked.
    """

    def __init__(self, timeout_s: float, pacer: Pacer | None = None) -> None:
        self._timeout_s, self._pacer = timeout_s, pacer
        self._client = httpx.Client(timeout=timeout_s, headers={"Accept-Encoding": "identity"})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, url: str, headers: dict[str, str] | None = None, max_bytes: int = MAX_BYTES) -> Answer:
        """Ask for an address; a body past `max_bytes` is cut there.

        Raises:
            TransientError: network, rate_limited: nothing was learned.
        """
        if self._pacer is not None and self._pacer.open_until is not None:
            raise TransientError("rate_limited", self._pacer.why_closed)
        begun, body = time.monotonic(), bytearray()
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                for block in response.iter_raw(1 << 14):
                    body += block
                    if len(body) >= max_bytes:
                        break
                    if time.monotonic() - begun > self._timeout_s:
                        raise TransientError("network", f"no whole answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransientError("network", type(error).__name__) from error
        self._check(response)
        text = bytes(body[:max_bytes]).decode("utf-8-sig", errors="replace")
        return Answer(response.status_code, text, response.headers.get("ETag"))

    def _check(self, response: Any) -> None:
        """A refusal opens the breaker; a fault of the host is no answer."""
        status = response.status_code
        reason = "rate_limited" if status == httpx.codes.TOO_MANY_REQUESTS else None
        if reason is None and status < httpx.codes.INTERNAL_SERVER_ERROR:
            return
        wait_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if self._pacer is not None:
            self._pacer.observe(reason or "network", status, wait_s)
        raise TransientError(reason or "network", f"HTTP {status}")
