"""How a video is fetched: limits, patience and what may be used; and that as parameters of yt-dlp."""

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from datasets.settings import OUTSIDE_RECIPE, Settings
from extract.media import ffmpeg_path


class DownloadSettings(Settings):
    """How a video is fetched."""

    max_height: int = Field(default=480, ge=144, le=4320)
    """Pixels of the picture's shorter side; more only where a video has nothing smaller."""
    max_bytes: int = Field(default=2_000_000_000, gt=0)
    """Largest file taken, in bytes."""
    num_threads: Annotated[int, OUTSIDE_RECIPE] = Field(default=2, ge=1, le=16)
    """Downloads at once; all behind one pacer."""
    timeout_s: Annotated[float, OUTSIDE_RECIPE] = Field(default=1800.0, gt=0)
    """Seconds for one video, metadata and download together."""
    socket_timeout_s: Annotated[float, OUTSIDE_RECIPE] = Field(default=20.0, gt=0)
    """Seconds without an answer or a byte."""
    retries: Annotated[int, OUTSIDE_RECIPE] = Field(default=3, ge=0, le=20)
    """Times a broken transfer is taken up again within one try."""
    retry_sleep_s: Annotated[float, OUTSIDE_RECIPE] = Field(default=1.0, ge=0)
    """Seconds before the first of them, doubling, at most 30."""
    min_free_bytes: Annotated[int, OUTSIDE_RECIPE] = Field(default=2_000_000_000, ge=0)
    """Bytes that must stay free on the disk of the media."""
    max_total_bytes: Annotated[int, OUTSIDE_RECIPE] = Field(default=1_000_000_000_000, gt=0)
    """Ceiling for all media, in bytes."""
    cookies_file: Annotated[Path | None, OUTSIDE_RECIPE] = None
    """A Netscape cookies file of your own. Never set by default, never logged; it ties your account to what is done."""


def engine_parameters(download: DownloadSettings, depth: int | None) -> dict[str, Any]:
    """yt-dlp's parameters; what would read or write elsewhere, or pretend to be elsewhere, stays off.

    Args:
        download: the settings.
        depth: for a listing: its most entries; None for one video.
    """
    deno = Path(sys.executable).with_name("deno")
    parameters: dict[str, Any] = {
        "quiet": True,
        "noprogress": True,
        "progress_delta": download.timeout_s,  # else it formats, for every block, a line that nobody sees
        "color": "no_color",
        "cachedir": False,
        "geo_bypass": False,
        "noplaylist": True,
        "updatetime": False,
        "hls_prefer_native": True,
        "merge_output_format": "mp4",
        "js_runtimes": {"deno": {"path": str(deno)} if deno.exists() else {}, "node": {}},
        "ffmpeg_location": ffmpeg_path(),
        "format_sort": [f"res:{download.max_height}", "vcodec:h264", "acodec:aac"],
        "socket_timeout": download.socket_timeout_s,
        "retries": download.retries,
        "fragment_retries": download.retries,
        "extractor_retries": download.retries,
        "skip_unavailable_fragments": False,
    }
    if depth is not None:
        parameters |= {"extract_flat": True, "playlistend": depth, "noplaylist": False}
    return parameters
