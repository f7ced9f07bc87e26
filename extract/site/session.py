"""The door to yt-dlp: sessions within our limits, in the processes of `extract.site.worker`.

yt-dlp meets the web here and nowhere else. It may ask only the hosts of its source by http(s), writes only files whose
names come from the checked video id, starts no program but our ffmpeg on files that are already here, reads no
configuration, no plugins and no cache of the user, and stops at a time limit and a size.
"""

import importlib
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import yt_dlp
from yt_dlp.cookies import load_cookies
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.globals import plugin_dirs
from yt_dlp.networking._requests import RequestsRH
from yt_dlp.networking.exceptions import HTTPError, NoSupportingHandlers
from yt_dlp.utils import DownloadError, YoutubeDLError

from datasets.files import sha256_of
from datasets.outcomes import MediaError
from extract.container import probe_media
from extract.media_store import (
    check_media_start,
    check_room,
    drop_partials,
    media_path,
    partial_path,
)
from extract.mp4 import IncompleteMediaError, list_boxes, read_header
from extract.site.formats import choose_formats, expected_bytes, format_key, playlist_addresses
from extract.site.limits import LimitedBody, LimitError, Limits
from extract.site.metadata import MAX_SEGMENTS, clean_metadata
from extract.site.pacer import parse_retry_after
from extract.site.reasons import clean_detail
from extract.site.rows import Row, make_media
from extract.site.settings import DownloadSettings, engine_parameters
from extract.sources import SourceSettings, allowed_hosts, extractor_names, is_allowed_url

EngineError = YoutubeDLError
"""What yt-dlp raises; the rest of the project does not import it."""

ROOM_STEP_BYTES = 64 << 20

logger = logging.getLogger(__name__)


class Session(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """A YoutubeDL for one thread, within the limits above. One video at a time."""

    def __init__(self, source: SourceSettings, download: DownloadSettings, depth: int | None) -> None:
        self.source, self.download_settings = source, download
        self.warnings: list[str] = []
        self._refusals: list[HTTPError] = []
        plugin_dirs.value = []
        self._limits = Limits(download.timeout_s, download.max_bytes)
        hooks = {"logger": self, "format": self.choose, "progress_hooks": [self.watch_progress]}
        # Seconds before yt-dlp's own n-th next try, and never past the time limit.
        waits = dict.fromkeys(
            ("http", "fragment", "extractor"),
            lambda n: min(download.retry_sleep_s * 2**n, 30.0, self._limits.seconds_left),
        )
        parameters = engine_parameters(download, depth) | hooks | {"retry_sleep_functions": waits}
        super().__init__(parameters, auto_init=False)
        self.cookiejar = _guest_cookies(download.cookies_file)
        for name in extractor_names(source):
            module, class_name = name.split(":")
            self.add_info_extractor(getattr(importlib.import_module(module), class_name)())

    def begin(self, media_root: str | Path, video_id: str, pause_s: float, deadline: float) -> None:
        """Forget the last video. `pause_s` lies between two pages; `deadline` is on the monotonic clock."""
        self.params["sleep_interval_requests"] = pause_s
        self.media_root, self.video_id = media_root, video_id
        self.partial: Path | None = None
        self._body: LimitedBody | None = None
        self._received: tuple[int, int, int, str] | None = None
        self._num_bytes_with_room = 0
        self.warnings.clear()
        self.release()
        self._limits = Limits(self.download_settings.timeout_s, self.download_settings.max_bytes, deadline)

    def release(self) -> None:
        """Close the pages of refusals."""
        self.http_status: int | None = None
        self.retry_after_s: float | None = None
        while self._refusals:
            self._refusals.pop().close()

    def debug(self, message: str) -> None:
        """yt-dlp's logger interface; what it says comes between its steps, so the clock is looked at here too."""
        logger.debug("%s", message)
        self._limits.check()

    def warning(self, message: str) -> None:
        """yt-dlp's logger interface; warnings explain missing formats later."""
        logger.info("%s", message)
        self.warnings.append(message)

    error = debug  # the exception that follows says the same

    def _forceprint(self, key: str, info_dict: dict[str, Any]) -> dict[str, Any]:
        """Nothing is printed; yt-dlp would lay out tables of formats and captions for it, eight times a video."""
        return info_dict

    def urlopen(self, request: Any) -> Any:
        """Ask, if the host may be asked; the answer is read within the limits."""
        self._check_url(request if isinstance(request, str) else request.url)
        self._limits.check()
        try:
            response = super().urlopen(request)
        except HTTPError as error:  # yt-dlp may still read its page, and leaves it open
            self._refusals.append(error)
            self.http_status = error.status
            if error.status in (429, 503):
                self.retry_after_s = parse_retry_after(error.response.headers.get("Retry-After"), datetime.now(UTC))
            if self.retry_after_s:  # the site says when to come back: yt-dlp's own tries within seconds end here
                reason = "rate_limited" if error.status == 429 else "network"
                raise LimitError(reason, f"{error}: asked to wait {self.retry_after_s:.0f} s") from error
            raise
        except NoSupportingHandlers as error:  # a refused redirect comes back wrapped
            raise next((inner for inner in error.unexpected_errors if isinstance(inner, LimitError)), error) from error
        response.fp = self._body = LimitedBody(response.fp, self._limits)
        return response

    def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:
        """Only the handler that lets us look at a redirect before it is followed."""

        def check_redirect(response: Any, *_: Any, **__: Any) -> None:
            if response.is_redirect:
                response.close()
                self._check_url(urljoin(response.url, response.headers["location"]))

        class CheckedRH(RequestsRH):  # type: ignore[misc]
            def _create_instance(self, *args: Any, **options: Any) -> Any:
                session = super()._create_instance(*args, **options)
                session.hooks["response"].append(check_redirect)
                return session

        return super().build_request_director([CheckedRH], preferences)

    def _check_url(self, url: str) -> None:
        if not is_allowed_url(url, allowed_hosts(self.source)):
            raise LimitError("unexpected", f"refused to ask {clean_detail(url)[:200]}: not a host of the source")

    def extract(self, url: str) -> dict[str, Any]:
        """Full metadata of the video at `url`; nothing is downloaded."""
        metadata = self.extract_info(url, download=False, process=False)
        if not isinstance(metadata, dict) or metadata.get("_type", "video") != "video":
            raise DownloadError(f"{url} is no single video")
        if metadata.get("id") != self.video_id:
            raise DownloadError(f"asked for {self.video_id}, got another video")
        return clean_metadata(metadata)

    def list_entries(self, address: str) -> list[dict[str, Any]]:
        """Search results, or videos of a channel or playlist, as flat entries."""
        listing = self.extract_info(address, download=False)
        entries = listing.get("entries") if isinstance(listing, dict) else None
        return [
            clean_metadata(entry)
            for entry in entries or []
            if isinstance(entry, dict)
            and entry.get("_type") != "playlist"
            and not str(entry.get("ie_key") or "").endswith(("Tab", "Playlist", "Search"))
        ]

    def download_media(self, metadata: dict[str, Any]) -> Row:
        """Fetch the formats chosen from `metadata` into `partial`; columns of `media` without the outcome."""
        metadata = {**metadata, "is_live": False, "live_status": "not_live"}
        for i, item in enumerate(metadata.get("formats") or []):
            item["source_format_id"] = str(item.get("format_id") or i)
            item["format_id"] = f"f{i}"  # becomes part of a file name
            if item.get("available_at"):  # yt-dlp sleeps until then, in whole seconds; here at most past the time limit
                past_limit = int(time.time() + self._limits.seconds_left) + 2
                item["available_at"] = min(item["available_at"], past_limit)
        self._body = None
        try:
            self.process_ie_result(metadata, download=True)
            partial, chosen = self.partial, self._chosen
            if partial is None or not partial.is_file():
                raise IncompleteMediaError("network", "yt-dlp ended without a file")
            language = next((item["language"] for item in chosen if item.get("language")), None)
            found = read_header(partial, list_boxes(partial)) or probe_media(partial, language)
            if found.audio_codec is None:
                raise MediaError("no_audio", "the file has no sound")
            # Of the bytes as they came, if one answer brought the whole file and nobody touched it since; else read.
            state = partial.stat()
            *identity, received = self._received or (0, 0, 0, "")
            is_as_received = identity == [state.st_ino, state.st_size, state.st_mtime_ns]
            sha256 = str(received) if is_as_received else sha256_of(partial)
            path = media_path(self.media_root, self.video_id)
            return make_media(self.video_id, path, state.st_size, sha256, chosen, found)
        except (IncompleteMediaError, MediaError):  # else a later try would take what is here for the whole video
            drop_partials(self.media_root, self.video_id)
            raise

    def choose(self, context: dict[str, Any]) -> Iterator[Any]:
        """yt-dlp's format selector: our choice, checked against size and disk; names the file."""
        chosen: list[Any] = choose_formats(context["formats"], self.download_settings.max_height)
        if not chosen:
            return
        self._limits.check_size(expected_bytes(chosen))
        self._check_room(expected_bytes(chosen))
        for item in chosen:
            _check_num_segments(len(item.get("fragments") or ()))
            if item["protocol"] != "m3u8_native":
                continue
            # An HLS playlist is fetched here: one that yt-dlp cannot take natively it would hand to ffmpeg.
            with self.urlopen(item["url"]) as response:
                item["url"], playlist = response.url, response.read().decode(errors="replace")
            if not HlsFD.can_download(playlist, {}) or "METHOD=AES" in playlist:
                raise LimitError("drm_protected", "the playlist is encrypted")
            addresses = playlist_addresses(playlist)
            _check_num_segments(len(addresses))
            for address in addresses:
                self._check_url(urljoin(item["url"], address))
            item["hls_media_playlist_data"] = playlist
        self.partial = partial_path(self.media_root, self.video_id, format_key(chosen))
        self.partial.parent.mkdir(exist_ok=True)
        self.params["outtmpl"]["default"] = str(self.partial).replace("%", "%%")
        self._chosen = chosen
        yield from self.build_format_selector("+".join(item["format_id"] for item in chosen))(context)

    def watch_progress(self, progress: dict[str, Any]) -> None:
        """yt-dlp's progress hook: size, time, room, and what was received before ffmpeg may read it."""
        num_bytes = max(progress.get("downloaded_bytes") or 0, progress.get("total_bytes") or 0)
        self._limits.check()
        self._limits.check_size(num_bytes)
        if progress["status"] == "finished":
            path = Path(progress["filename"])
            check_media_start(path)
            state = path.stat()
            if self._body is not None and self._body.num_bytes == state.st_size:
                self._received = (state.st_ino, state.st_size, state.st_mtime_ns, self._body.sha256.hexdigest())
        elif num_bytes > self._num_bytes_with_room:  # counting the media folder at every block would cost more than it
            self._num_bytes_with_room = num_bytes + ROOM_STEP_BYTES
            self._check_room(num_bytes - (progress.get("downloaded_bytes") or 0))

    def _check_room(self, num_bytes: int) -> None:
        limits = self.download_settings
        check_room(self.media_root, num_bytes, limits.min_free_bytes, limits.max_total_bytes)


def _check_num_segments(number: int) -> None:
    if number > MAX_SEGMENTS:
        raise LimitError("file_too_large", f"more than {MAX_SEGMENTS:,} segments")


@lru_cache
def _guest_cookies(cookies_file: Path | None) -> Any:
    """One cookie jar for all sessions: to the site we are one guest."""
    return load_cookies(str(cookies_file) if cookies_file else None, None, None)


_SESSIONS = threading.local()


def open_session(source: SourceSettings, download: DownloadSettings, depth: int | None) -> Session:
    """This thread's session: connections are kept from one video to the next."""
    key = (source, download, depth)
    if getattr(_SESSIONS, "key", None) != key:
        _SESSIONS.session, _SESSIONS.key = Session(source, download, depth), key
    session: Session = _SESSIONS.session
    return session
