"""The limits of one video's requests: time and bytes, checked while a body is read, not after it."""

import hashlib
import time
from typing import Any

from datasets.outcomes import RowError

MAX_PAGE_BYTES = 64 << 20
# More at once than fits into a processor's cache costs time twice: a block is written where it was just received.
READ_BYTES = 1 << 19


class LimitError(RowError):
    """A limit of ours that ends a transfer; yt-dlp, which retries errors of its own, lets it pass."""


class Limits:
    """Time and bytes that one video may take, pages and media together.

    Args:
        timeout_s: seconds from now, unless `deadline` says otherwise.
        max_bytes: of media; pages may take `MAX_PAGE_BYTES` more.
        deadline: on the monotonic clock.
    """

    def __init__(self, timeout_s: float, max_bytes: int, deadline: float | None = None) -> None:
        self._timeout_s, self._max_bytes = timeout_s, max_bytes
        self._deadline = time.monotonic() + timeout_s if deadline is None else deadline
        self._num_bytes = 0

    @property
    def seconds_left(self) -> float:
        """Until the time limit; 0 past it."""
        return max(0.0, self._deadline - time.monotonic())

    def check(self, num_new_bytes: int = 0) -> None:
        """Count bytes received; raise LimitError (network, file_too_large) past a limit."""
        self._num_bytes += num_new_bytes
        if time.monotonic() > self._deadline:
            raise LimitError("network", f"time limit of {self._timeout_s:g} s")
        self.check_size(self._num_bytes - MAX_PAGE_BYTES)

    def check_size(self, num_bytes: int) -> None:
        """Raise LimitError if a file is, or is announced to be, too large."""
        if num_bytes > self._max_bytes:
            raise LimitError("file_too_large", f"{num_bytes} bytes, {self._max_bytes} allowed")


class LimitedBody:
    """A response's body that hands out what there is, so that a trickle cannot hold us past the time limit.

    What was read is hashed while it is at hand: reading a file again for that would cost a tenth of its transfer.
    """

    def __init__(self, body: Any, limits: Limits) -> None:
        self._body, self._limits = body, limits
        self.num_bytes, self.sha256 = 0, hashlib.sha256()

    def read(self, amt: int | None = None, **options: Any) -> bytes:
        """At most `amt` bytes and at most READ_BYTES, as soon as there are any."""
        read = getattr(self._body, "read1", self._body.read)
        data: bytes = read(min(amt or READ_BYTES, READ_BYTES), **options)
        self.sha256.update(data)
        self.num_bytes += len(data)
        self._limits.check(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)
