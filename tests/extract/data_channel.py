"""A channel of small real videos on the demo's site, for the tests of acquisition."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.site import Item, Site, SiteHandler, running
from extract.media import ffmpeg_path
from extract.site.settings import DownloadSettings
from extract.sources import SourceSettings

QUICK = DownloadSettings(min_free_bytes=0, retries=1, retry_sleep_s=0, socket_timeout_s=2, timeout_s=20)


def make_video(path: Path, seconds: int = 12) -> Path:
    """A test picture with a tone, H.264 and AAC, header first."""
    command = [
        ffmpeg_path(),
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-f",
        "lavfi",
        "-i",
        f"testsrc=s=320x240:r=5:d={seconds}",
    ]
    command += ["-f", "lavfi", "-i", f"sine=d={seconds}", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    subprocess.run([*command, "-movflags", "+faststart", str(path)], check=True, timeout=60)
    return path


def make_item(video_id: str, **fields: Any) -> Item:
    """What the site says of a video that every rule takes."""
    return {
        "id": video_id,
        "title": "肉じゃがの作り方",
        "description": "簡単な肉じゃがのレシピです",
        "duration_ms": 12_000,
        "view_count": 1000,
        "channel": "台所",
        "channel_id": "UC1",
        "upload_date": "20240101",
        "license": None,
        "language": "ja",
        "availability": "public",
        "kind": "narrated",
        "file": "good.mp4",
        **fields,
    }


def source_of(site: Site) -> SourceSettings:
    """The settings that point the real pipeline at a site."""
    return SourceSettings(
        name="site",
        search_prefix="demosearch",
        watch_url=site.url + "/watch?v={video_id}",
        extractors=("demo.extractor:DemoVideoIE", "demo.extractor:DemoSearchIE"),
    )


class CountingHandler(SiteHandler):
    """Notes what was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@contextmanager
def open_channel(folder: Path, items: list[Item], handler: type[SiteHandler] = CountingHandler) -> Iterator[Site]:
    """Serve `items` from `folder`; `handler.asked` begins empty."""
    fresh = type("Handler", (handler,), {"asked": []})
    site = Site(folder, items, 0, fresh)
    before = os.environ.get("DEMO_SITE")
    os.environ["DEMO_SITE"] = site.url
    try:
        with running(site):
            yield site
    finally:
        os.environ.pop("DEMO_SITE")
        if before is not None:
            os.environ["DEMO_SITE"] = before


def media_requests(site: Site) -> list[str]:
    """Requests for media files so far."""
    return [path for path in site.RequestHandlerClass.asked if path.startswith("/media/")]
