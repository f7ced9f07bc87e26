"""A hostile video site: the demo's site with faults, each behind a video id of one catalog.

    from tests.extract.fault_server import FAULTS, GOOD, open_fault_site
    from demo.site import running

    with running(open_fault_site(tmp_path)) as site:          # files are made once per folder, about 4 s
        source = SourceSettings(name="site", search_prefix="demosearch", watch_url=site.url + "/watch?v={video_id}",
                                extractors=("demo.extractor:DemoVideoIE", "demo.extractor:DemoSearchIE"))
        fetch_video(site.ids["media_404"], ...)               # or every fault: `for name, fault in FAULTS.items()`
        site.good_bytes("good_a")                             # what a complete file holds
        site.num_requests["media_404"]                        # requests for pages and media of that id so far
        site.forget()                                         # faults that pass after some requests begin again

Search (`DEMO_SITE=site.url`) finds all of them with "レシピ". `FAULTS[name].outcome` says what the row should hold: ok
or a reason, `FAULTS[name].table` in which table. Videos are 12 s long. Faults that wait (stalled, trickle) end when the
site does; give the engine short time limits. `huge` and `endless` need `max_bytes` below 50 MB to be over quickly.
`corrupt_middle` arrives whole but is not the good file. The "other host" is `localhost`, which is this server under a
name that the source does not allow: `site.num_forbidden` counts who asked it all the same.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from demo.encode import FPS, encode_video
from demo.pictures import draw_food, draw_frame
from demo.plan import make_id
from demo.site import Item, Site, SiteHandler, as_script, describe_watch, running
from demo.sound import num_samples
from demo.voices import speak
from tests.extract.fault_answers import (
    blank_header,
    drop,
    flood,
    media_format,
    misstate_length,
    playlist_format,
    redirect,
    refusal,
    reset,
    scramble,
    send_content,
    send_status,
    send_text,
    shift_range,
    stall,
)

__all__ = ["FAULTS", "GOOD", "Fault", "FaultSite", "open_fault_site", "running"]

DURATION_MS = 12_000
GOOD = ("good_a", "good_b", "good_c")
RATE_WORDS = "This content isn't available, try again later"


@dataclass(frozen=True)
class Fault:
    """One way of a video to go wrong."""

    outcome: str
    """ "ok" or the reason of the row."""
    media: "Answer | None" = None
    """Answers requests for the file, in place of the site."""
    page: "Answer | None" = None
    """Answers requests for the watch page."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the watch page says otherwise."""
    table: str = "media"


Answer = Callable[["FaultHandler", Path, int], None]


class FaultSite(Site):
    """The server; `ids` maps fault names to video ids."""

    def __init__(self, directory: Path, items: list[Item], port: int) -> None:
        super().__init__(directory, items, port, FaultHandler)
        self.ids = {item["kind"]: item["id"] for item in items}
        self.ended = threading.Event()
        self._counting = threading.Lock()
        self.forget()

    @property
    def other_host(self) -> str:
        """This server under a name that is not the source's."""
        return self.url.replace("127.0.0.1", "localhost")

    def fill(self, text: str) -> str:
        """Put this server's addresses into a text."""
        return text.replace("{site}", self.url).replace("{other}", self.other_host)

    def forget(self) -> None:
        """Begin to count requests again."""
        self.num_forbidden = 0
        self.num_requests: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, name: str, kind: str) -> int:
        """How many requests of this kind came before; counts this one."""
        with self._counting:
            self.num_requests[name] += 1
            self._counts[name, kind] += 1
            return self._counts[name, kind] - 1

    def good_bytes(self, name: str) -> bytes:
        """The file behind an item as it should arrive."""
        return Path(self.directory, self.items[self.ids[name]]["file"]).read_bytes()

    def shutdown(self) -> None:
        """End; wakes the faults that wait."""
        self.ended.set()
        super().shutdown()


class FaultHandler(SiteHandler):
    """The demo's handler, with a fault where the item has one."""

    server: FaultSite

    def answer_watch(self, item: Item | None) -> None:
        fault = FAULTS.get(item["kind"]) if item else None
        if item is None or fault is None:
            super().answer_watch(item)
            return
        num_before = self.server.count(item["kind"], "page")
        if fault.page is not None:
            fault.page(self, self.server.directory / item["file"], num_before)
            return
        metadata = describe_watch(item, self.server.url) | fault.metadata
        text = self.server.fill(as_script(metadata)).replace("{id}", item["id"])
        self.send_page(item["title"], f'<script id="metadata" type="application/json">{text}</script>')

    def answer_media(self, item: Item | None) -> None:
        fault = FAULTS.get(item["kind"]) if item else None
        if item is None or fault is None or fault.media is None:
            super().answer_media(item)
            return
        fault.media(self, self.server.directory / item["file"], self.server.count(item["kind"], "media"))

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.headers.get("Host", "").startswith("localhost"):
            self.server.num_forbidden += 1
        if path.startswith("/playlist/"):
            self.send_playlist(unquote(path).removeprefix("/playlist/"))
        else:
            super().do_GET()

    do_HEAD = do_GET

    def send_playlist(self, kind: str) -> None:
        """An HLS playlist whose one piece is elsewhere."""
        piece = {"file": "file:///etc/passwd", "host": f"{self.server.other_host}/piece.ts"}.get(
            kind, "concat:/etc/passwd|x"
        )
        if kind == "encrypted":
            piece = f'#EXT-X-KEY:METHOD=AES-128,URI="{self.server.url}/key"\n{self.server.url}/piece.ts'
        pieces = f"#EXTINF:12.0,\n{piece}\n" * (300_000 if kind == "long" else 1)
        text = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:12\n{pieces}#EXT-X-ENDLIST\n"
        self.send_body(text.encode(), "application/vnd.apple.mpegurl")

    def begin_media(self, num_bytes: int | None, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> None:
        """Headers of a media answer; the connection ends with the answer."""
        self.send_response(status)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Connection", "close")
        if num_bytes is not None:
            self.send_header("Content-Length", str(num_bytes))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True


SIGN_IN = "LOGIN_REQUIRED"
ERROR = "ERROR"

FAULTS: dict[str, Fault] = {
    # answers that are errors
    "media_429": Fault("rate_limited", send_status(429)),
    "media_429_retry_after": Fault("rate_limited", send_status(429, Retry_After="7200")),
    "page_429": Fault("rate_limited", page=send_status(429), table="videos"),
    "media_403": Fault("network", send_status(403)),
    "media_404": Fault("removed", send_status(404)),
    "page_404": Fault("removed", page=send_status(404), table="videos"),
    "media_410": Fault("removed", send_status(410)),
    "media_503": Fault("network", send_status(503)),
    "media_503_twice": Fault("ok", send_status(503, times=2)),
    "media_503_retry_after": Fault("network", send_status(503, Retry_After="120")),
    "page_429_retry_date": Fault(
        "rate_limited", page=send_status(429, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"), table="videos"
    ),
    "page_503": Fault("network", page=send_status(503), table="videos"),
    # connections that break, stall or crawl
    "dropped": Fault("network", drop(None)),
    "dropped_twice": Fault("ok", drop(2)),
    "dropped_no_range": Fault("ok", drop(1, keeps_range=False)),
    "range_shifted": Fault("network", shift_range),
    "reset": Fault("network", reset),
    "page_reset": Fault("network", page=reset, table="videos"),
    "stalled": Fault("network", stall(60)),
    "trickle": Fault("network", stall(0.2)),
    # lengths and contents that are wrong
    "length_too_large": Fault("network", misstate_length(1.5)),
    "length_too_small": Fault("network", misstate_length(0.5)),
    "truncated": Fault("network", send_content(lambda content: content[: len(content) // 2])),
    "corrupt_start": Fault("network", send_content(scramble(0, 0.05))),
    "corrupt_middle": Fault("ok", send_content(scramble(0.5, 0.6))),
    "header_blank": Fault("decode_failed", send_content(blank_header)),
    "empty": Fault("network", send_content(lambda content: b"")),
    "html": Fault("network", send_text("<html><title>料理</title>" + "<p>すみません</p>" * 4000)),
    "html_as_mp4": Fault("network", send_content(lambda content: b"<html>" + bytes(9000))),
    "huge": Fault("file_too_large", flood(10**13)),
    "endless": Fault("file_too_large", flood(None)),
    # addresses that lead elsewhere
    "redirect_loop": Fault("network", redirect(None)),
    "redirect_host": Fault("unexpected", redirect("{other}/video.mp4")),
    "redirect_file": Fault("unexpected", redirect("file:///etc/passwd")),
    "page_redirect_host": Fault("unexpected", page=redirect("{other}/watch"), table="videos"),
    "hls_file": Fault("unexpected", metadata=playlist_format("file")),
    "hls_host": Fault("unexpected", metadata=playlist_format("host")),
    "hls_concat": Fault("unexpected", metadata=playlist_format("concat")),
    "url_file": Fault("unexpected", metadata={"formats": [media_format(url="file:///etc/passwd")]}),
    "url_host": Fault("unexpected", metadata={"formats": [media_format(url="{other}/video.mp4")]}),
    # texts that want to be paths, markup or programs
    "title_path": Fault("ok", metadata={"title": "../../../../../tmp/にんじん/../../etc/cron.d/料理 レシピ"}),
    "title_html": Fault("ok", metadata={"title": "</script><script>alert(1)</script> にんじんの料理 & レシピ"}),
    "title_control": Fault("ok", metadata={"title": "にんじん\x00\x07\x1b[31m\r\n\u202eの料理 レシピ"}),
    "title_long": Fault("ok", metadata={"title": "にんじんの料理レシピ" * 3000}),
    "title_option": Fault("ok", metadata={"title": "--exec rm にんじんの料理 レシピ %(id)s $(id)"}),
    "format_path": Fault("ok", metadata={"formats": [media_format(format_id="../../../tmp/18")]}),
    "format_ext": Fault("unexpected", metadata={"formats": [media_format(ext="../../../tmp/evil.sh")]}),
    # tracks
    "no_audio": Fault("no_audio", metadata={"formats": [media_format(acodec="none")]}),
    "no_audio_unsaid": Fault("no_audio"),
    "dubbed_only": Fault(
        "no_original_audio",
        metadata={
            "formats": [
                media_format(format_id="18-0", language="en", language_preference=-1),
                media_format(format_id="18-1", language="es", language_preference=-1),
            ]
        },
    ),
    "dubbed_and_original": Fault(
        "ok",
        metadata={
            "formats": [
                media_format(format_id="18-0"),
                media_format(format_id="18-1", language="en", language_preference=-1, fps=30, url="{site}/none"),
            ]
        },
    ),
    "hls_encrypted": Fault("drm_protected", metadata=playlist_format("encrypted")),
    # videos that a rule of ours drops when their page has been read
    "too_short": Fault("video_too_short", metadata={"duration_ms": 3000}, table="videos"),
    "too_long": Fault("video_too_long", metadata={"duration_ms": 3_000_000}, table="videos"),
    "few_views": Fault("too_few_views", metadata={"view_count": 3}, table="videos"),
    "other_language": Fault(
        "wrong_language",
        metadata={"language": "en", "formats": [media_format(language="en")], "automatic_captions": ["en-orig"]},
        table="videos",
    ),
    "age_limit": Fault("age_restricted", metadata={"age_limit": 18}, table="videos"),
    "subscribers": Fault("members_only", metadata={"availability": "subscriber_only"}, table="videos"),
    # pages that refuse, in YouTube's words
    "private": Fault(
        "private",
        metadata=refusal("Private video", "Sign in if you've been granted access to this video", SIGN_IN),
        table="videos",
    ),
    "removed": Fault(
        "removed",
        metadata=refusal("Video unavailable", "This video has been removed by the uploader", ERROR),
        table="videos",
    ),
    "terminated": Fault(
        "removed",
        metadata=refusal(
            "Video unavailable",
            "This video is no longer available because the YouTube account associated with this video has been "
            "terminated.",
            ERROR,
        ),
        table="videos",
    ),
    "age": Fault(
        "age_restricted",
        metadata=refusal(
            "Sign in to confirm your age", "This video may be inappropriate for some users.", SIGN_IN, age_limit=18
        ),
        table="videos",
    ),
    "geo": Fault(
        "geo_blocked",
        metadata=refusal(
            "Video unavailable", "The uploader has not made this video available in your country", countries=["FR"]
        ),
        table="videos",
    ),
    "geo_copyright": Fault(
        "geo_blocked",
        metadata=refusal(
            "Video unavailable",
            "This video contains content from UMG, who has blocked it in your country on copyright grounds",
        ),
        table="videos",
    ),
    "members": Fault(
        "members_only",
        metadata=refusal(
            "Join this channel to get access to members-only content like this video, and other exclusive perks."
        ),
        table="videos",
    ),
    "bot_check": Fault(
        "bot_check",
        metadata=refusal(
            "Sign in to confirm you’re not a bot", "This helps protect our community. Learn more", SIGN_IN
        ),
        table="videos",
    ),
    "not_available": Fault(
        "rate_limited", metadata=refusal("Video unavailable", f"{RATE_WORDS}.", ERROR), table="videos"
    ),
    "unavailable": Fault("unavailable", metadata=refusal("Video unavailable", "", ERROR), table="videos"),
    "one_client": Fault("unavailable", metadata=refusal("This video is not available"), table="videos"),
    "administrator": Fault(
        "restricted_network",
        metadata=refusal(
            "Video unavailable",
            "This video is restricted. Please check the Google Workspace administrator and/or the network "
            "administrator restrictions.",
        ),
        table="videos",
    ),
    "upcoming": Fault(
        "not_yet_live",
        metadata=refusal(
            "This live event will begin in 3 hours.", "", "LIVE_STREAM_OFFLINE", live_status="is_upcoming"
        ),
        table="videos",
    ),
    "live": Fault("not_yet_live", metadata={"live_status": "is_live"}, table="videos"),
    # pages that are no watch pages
    "page_empty": Fault("unexpected", page=send_text(""), table="videos"),
    "page_html": Fault("unexpected", page=send_text("<html><p>少々お待ちください</p></html>"), table="videos"),
    "page_bad_json": Fault(
        "unexpected", page=send_text('<script id="metadata" type="application/json">{"id": </script>'), table="videos"
    ),
    "page_deep": Fault(
        "bad_answer",
        page=send_text('<script id="metadata" type="application/json">' + "[" * 200_000 + "</script>"),
        table="videos",
    ),
    "many_formats": Fault("ok", metadata={"formats": [media_format()] * 5_000}),
    "many_segments": Fault("file_too_large", metadata=playlist_format("long")),
    "available_later": Fault("network", metadata={"formats": [media_format(available_at=4_000_000_000)]}),
    "page_endless": Fault("file_too_large", page=flood(None, "text/html"), table="videos"),
}


def open_fault_site(directory: Path, port: int = 0) -> FaultSite:
    """A bound server: three good videos and one item per fault; use with `demo.site.running`.

    Args:
        directory: where its files are, or will be rendered (about 4 s, 3 MB).
        port: 0 lets the system choose.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate((*GOOD, "mute")):
        if not (directory / f"{name}.mp4").is_file():
            _render(directory / f"{name}.mp4", number, has_sound=name != "mute")
    items = [_make_item(name, f"{name}.mp4", f"にんじんの料理 レシピ {name}") for name in GOOD]
    for number, (name, fault) in enumerate(FAULTS.items()):
        file = "mute.mp4" if name.startswith("no_audio") else f"{GOOD[number % len(GOOD)]}.mp4"
        items.append(_make_item(name, file, fault.metadata.get("title", f"玉ねぎの料理 レシピ {name}")))
    return FaultSite(directory, items, port)


def _render(path: Path, number: int, has_sound: bool) -> None:
    canvas = draw_food(("Carrots", "Onion", "Tomato", "Leek")[number], number)
    frames = (draw_frame(canvas, "boil", k / FPS).tobytes() for k in range(DURATION_MS * FPS // 1000))
    wave = np.resize(speak("人参を薄く切って、鍋で茹でます。", "mei:0:1.0"), num_samples(DURATION_MS))
    encode_video(path, frames, wave if has_sound else None)


def _make_item(name: str, file: str, title: str) -> Item:
    item: Item = {"id": make_id(9, name), "kind": name, "title": title, "file": file}
    item |= {"description": "きょうは料理のレシピを紹介します。", "duration_ms": DURATION_MS, "view_count": 5000}
    item |= {"channel": "小さな台所", "channel_id": "UCsmall-kitchen-demo-001", "upload_date": "20250101"}
    return json.loads(json.dumps(item | {"license": None, "language": "ja", "availability": "public"}))  # type: ignore[no-any-return]
