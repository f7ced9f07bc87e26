"""A small video site on 127.0.0.1: channel page, search, watch pages, media with Range, as the extractor expects them.

    /                                  the channel
    /search?q=WORDS&page=1             results for people; /search.json for the extractor
    /watch?v=ID                        a page with the video's metadata as JSON in it
    /media/ID.mp4                      the file, whole or by Range

Made to be extended: the fault server of the tests overrides `SiteHandler.answer_watch` and `answer_media`.
"""

import html
import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from demo.search import Item as Item
from demo.search import search_items
from demo.waiting import wait_for

PAGE_SIZE = 10
CHUNK_BYTES = 1 << 16

# What YouTube's watch page says of videos that cannot be played: (status, reason, subreason).
REFUSALS: dict[str, tuple[str, str, str]] = {
    "private": ("LOGIN_REQUIRED", "Private video", "Sign in if you've been granted access to this video"),
    "removed": ("ERROR", "Video unavailable", "This video has been removed by the uploader"),
}


class Site(ThreadingHTTPServer):
    """The server: a catalog and the folder its files are in."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, directory: Path, items: list[Item], port: int, handler: type["SiteHandler"]) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.directory = directory
        self.items = {item["id"]: item for item in items}

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class SiteHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Site
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    sys_version = ""
    timeout = 60
    disable_nagle_algorithm = True  # else a page waits 40 ms for the acknowledgement of its header

    def do_GET(self) -> None:
        """Route by path."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/":
            self.send_page("小さな台所", _list_items(list(self.server.items.values())))
        elif url.path == "/search":
            self.answer_search_page(query)
        elif url.path == "/search.json":
            self.answer_search_json(query)
        elif url.path == "/watch":
            self.answer_watch(self.server.items.get(query.get("v", "")))
        elif url.path.startswith("/media/") and url.path.endswith(".mp4"):
            self.answer_media(self.server.items.get(unquote(url.path)[len("/media/") : -len(".mp4")]))
        else:
            self.send_missing()

    do_HEAD = do_GET

    def answer_search_page(self, query: dict[str, str]) -> None:
        """Results as a page for people."""
        words, page = query.get("q", ""), _page_number(query)
        results = search_items(self.server.items.values(), words)
        shown = results[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        body = f"<p>{len(results)} 件</p>" + _list_items(shown)
        if page * PAGE_SIZE < len(results):
            body += f'<p><a rel="next" href="/search?q={quote(words)}&amp;page={page + 1}">次のページ</a></p>'
        self.send_page(f"検索：{words}", body)

    def answer_search_json(self, query: dict[str, str]) -> None:
        """One page of results for the extractor."""
        page = _page_number(query)
        results = search_items(self.server.items.values(), query.get("q", ""))
        shown = results[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        keys = ("id", "title", "duration_ms", "view_count", "channel", "channel_id")
        answer = {
            "num_results": len(results),
            "page": page,
            "has_next": page * PAGE_SIZE < len(results),
            "items": [{key: item[key] for key in keys} for item in shown],
        }
        self.send_body(json.dumps(answer, ensure_ascii=False).encode(), "application/json; charset=utf-8")

    def answer_watch(self, item: Item | None) -> None:
        """Watch page of `item`; None: no such id."""
        if item is None:
            self.send_missing()
            return
        if item["file"] is not None:
            wait_for(self.server.directory / item["file"], self.server.directory)
        metadata = describe_watch(item, self.server.url)
        body = f'<p>{html.escape(item["description"])}</p><video controls src="/media/{item["id"]}.mp4"></video>'
        self.send_page(
            item["title"], body + f'<script id="metadata" type="application/json">{as_script(metadata)}</script>'
        )

    def answer_media(self, item: Item | None) -> None:
        """The file of `item`, or the part of it that a Range header asks for."""
        if item is None or item["file"] is None or item["availability"] != "public":
            self.send_missing()
            return
        if not wait_for(self.server.directory / item["file"], self.server.directory):
            self.send_missing()
            return
        self.send_file(self.server.directory / item["file"])

    def send_file(self, path: Path) -> None:
        """Send a file with Content-Length; a Range of it as 206."""
        num_bytes = path.stat().st_size
        byte_range = parse_range(self.headers.get("Range"), num_bytes)
        if byte_range is not None and byte_range[0] >= num_bytes:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{num_bytes}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, end = byte_range or (0, num_bytes)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if byte_range else HTTPStatus.OK)
        if byte_range:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{num_bytes}")
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command != "HEAD":
            self._copy_file(path, start, end)

    def _copy_file(self, path: Path, start: int, end: int) -> None:
        with path.open("rb") as file:
            file.seek(start)
            while start < end and (chunk := file.read(min(CHUNK_BYTES, end - start))):
                self.wfile.write(chunk)
                start += len(chunk)

    def send_page(self, title: str, body: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send an HTML page; `title` is escaped here, `body` is HTML already."""
        page = (
            f'<!doctype html><html lang="ja"><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f'<form action="/search"><input name="q"><button>検索</button></form>'
            f"<h1>{html.escape(title)}</h1>{body}</html>"
        )
        self.send_body(page.encode("utf-8", "replace"), "text/html; charset=utf-8", status)

    def send_body(self, body: bytes, content_type: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_missing(self) -> None:
        """404."""
        self.send_page("見つかりません", "", HTTPStatus.NOT_FOUND)

    def handle(self) -> None:
        """Answer until the client goes; a client that hangs up is no error of ours."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the pipeline's own rows say what was asked for."""


def describe_watch(item: Item, base_url: str) -> dict[str, Any]:
    """Metadata that the watch page carries, as the extractor reads it."""
    metadata = {key: value for key, value in item.items() if key not in ("file", "kind")}
    if item["availability"] in REFUSALS:
        status, reason, subreason = REFUSALS[item["availability"]]
        return metadata | {"playability": {"status": status, "reason": reason, "subreason": subreason}}
    language = item["language"]
    media = {
        "format_id": "18",
        "url": f"{base_url}/media/{quote(item['id'])}.mp4",
        "ext": "mp4",
        "vcodec": "avc1.42C01E",
        "acodec": "none" if item["kind"] == "no audio" else "mp4a.40.2",
        "width": 240,
        "height": 180,
        "fps": 10,
        "language": language,
        "language_preference": 10,
    }
    captions = [f"{language}-orig", language, "en"] if item["kind"] == "narrated" else []
    return metadata | {"playability": {"status": "OK"}, "formats": [media], "automatic_captions": captions}


def as_script(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def parse_range(header: str | None, num_bytes: int) -> tuple[int, int] | None:
    """The half-open byte range of a single Range header; None where the whole file is meant."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, num_bytes - int(last)), num_bytes
    return int(first), min(int(last) + 1, num_bytes) if last else num_bytes


def _page_number(query: dict[str, str]) -> int:
    text = query.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _list_items(items: list[Item]) -> str:
    rows = (
        f'<li><a href="/watch?v={quote(item["id"])}">{html.escape(item["title"])}</a> '
        f"{item['duration_ms'] // 60000}:{item['duration_ms'] // 1000 % 60:02d}、{item['view_count']} 回視聴</li>"
        for item in items
    )
    return f"<ol>{''.join(rows)}</ol>"


def open_site(directory: Path, port: int = 0) -> Site:
    """A bound server over a rendered channel; port 0 lets the system choose.

    Raises:
        ValueError: there is no channel in `directory`.
        OSError: the port is taken.
    """
    catalog = directory / "catalog.json"
    if not catalog.is_file():
        raise ValueError(
            f"--dir {directory}: no catalog.json there; run `python -m demo render --out {directory}` first"
        )
    return Site(directory, json.loads(catalog.read_text())["items"], port, SiteHandler)


@contextmanager
def running(site: Site) -> Iterator[Site]:
    """Serve in a thread while the block runs."""
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()


def serve_until_told(site: Site, port_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; write the port first, whole, and take the file away at the end."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with running(site):
        if port_file is not None:
            unfinished = port_file.with_name(f".{port_file.name}.unfinished")
            unfinished.write_text(f"{site.server_address[1]}\n")
            unfinished.replace(port_file)
        stop.wait()
    if port_file is not None:
        port_file.unlink(missing_ok=True)
