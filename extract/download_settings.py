"""How a video is fetched: limits, patience and what may be used."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from datasets.settings import Settings


class DownloadSettings(Settings):
    """How a video is fetched."""

    not_in_recipe: ClassVar[frozenset[str]] = frozenset(
        {"num_threads", "timeout_s", "socket_timeout_s", "retries", "retry_sleep_s", "min_free_bytes"}
        | {"max_total_bytes", "cookies_file"}
    )

    max_height: int = Field(default=480, ge=144, le=4320)
    """Pixels of the picture's shorter side; more only where a video has nothing smaller."""
    max_bytes: int = Field(default=2_000_000_000, gt=0)
    """Largest file taken, in bytes."""
    num_threads: int = Field(default=2, ge=1, le=16)
    """Downloads at once; all behind one pacer."""
    timeout_s: float = Field(default=1800.0, gt=0)
    """Seconds for one video, metadata and download together."""
    socket_timeout_s: float = Field(default=20.0, gt=0)
    """Seconds without an answer or a byte."""
    retries: int = Field(default=3, ge=0, le=20)
    """Times a broken transfer is taken up again within one try."""
    retry_sleep_s: float = Field(default=1.0, ge=0)
    """Seconds before the first of them, doubling, at most 30."""
    min_free_bytes: int = Field(default=2_000_000_000, ge=0)
    """Bytes that must stay free on the disk of the media."""
    max_total_bytes: int = Field(default=1_000_000_000_000, gt=0)
    """Ceiling for all media, in bytes."""
    cookies_file: Path | None = None
    """A Netscape cookies file of your own. Never set by default, never logged; it ties your account to what is done."""
