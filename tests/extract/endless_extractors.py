"""What an extractor may be led to by a hostile page: work without an end, each kind by the id of the video."""

import re
import subprocess
import time
from contextlib import suppress
from typing import Any

from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.extractor.youtube.jsc._director import initialize_jsc_director


def loop() -> None:
    while True:
        pass


def swallow() -> None:
    while True:
        with suppress(BaseException):
            time.sleep(0.01)


def match() -> None:
    """In C, with the interpreter's lock."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def wait_for_child() -> None:
    subprocess.run(["sleep", "3601"], check=False)


KINDS = {
    "loop0000000": loop,
    "swallow0000": swallow,
    "match000000": match,
    "sleep000000": lambda: time.sleep(3600),
    "child000000": wait_for_child,
}


class EndlessIE(InfoExtractor):  # type: ignore[misc]
    """Never ends, or says how many formats and segments it was asked for."""

    _VALID_URL = r"http://127\.0\.0\.1:9/watch\?v=(?P<id>.{11})"

    def _real_extract(self, url: str) -> dict[str, Any]:
        video_id = self._match_id(url)
        if video_id in KINDS:
            KINDS[video_id]()
        if video_id == "surprise000":
            raise ZeroDivisionError("a surprise of the extractor")
        if video_id == "program0000":  # as yt-dlp runs YouTube's
            solvers = initialize_jsc_director(self).providers
            solvers["Deno"]._run_deno("console.log(1)", solvers["Deno"]._DENO_BASE_OPTIONS)
        piece = {"url": "http://127.0.0.1:9/piece", "duration": 2.0}
        number = 60_000 if video_id == "formats0000" else 1
        pieces = [piece] * (300_000 if video_id == "segments000" else 1)
        made = {"url": "http://127.0.0.1:9/x.mp4", "vcodec": "avc1", "acodec": "mp4a", "height": 360}
        formats = [
            {**made, "format_id": str(i), "protocol": "http_dash_segments", "fragments": pieces} for i in range(number)
        ]
        return {"id": video_id, "title": "x", "duration": 60, "formats": formats}
