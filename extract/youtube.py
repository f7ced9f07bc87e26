"""The door to yt-dlp: search, metadata and download, as rows.

yt-dlp meets the web here and nowhere else. It may ask only the hosts of its source by http(s), writes only files whose
names come from the checked video id, starts no program but our ffmpeg on files that are already here, reads no
configuration, no plugins and no cache of the user, and stops at a time limit and a size.
"""

import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.cookies import load_cookies
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.globals import plugin_dirs
from yt_dlp.utils import DownloadCancelled, DownloadError, YoutubeDLError

from datasets.schemas import OK, TransientError, failed
from datasets.settings import recipe_of
from extract.download_settings import DownloadSettings as DownloadSettings
from extract.formats import Format, NoFormatError, choose_formats, expected_bytes, format_key
from extract.media import MediaError, MediaInfo, ffmpeg_path, probe_media
from extract.media_store import (
    DiskFullError,
    IncompleteMediaError,
    check_boxes,
    check_media_start,
    check_room,
    drop_partials,
    keep_media,
    media_path,
    partial_path,
    prepare_media_root,
    read_record,
    sha256_of,
)
from extract.pacer import Pacer
from extract.reasons import TRANSIENT, classify, clean_detail
from extract.selection import SelectionSettings, select
from extract.sources import SOURCES, SourceSettings, allowed_hosts, extractor_names, is_allowed_url, watch_url
from extract.video_rows import Row, make_discovery, make_video

MAX_PAGE_BYTES = 64 << 20
READ_BYTES = 1 << 16
logger = logging.getLogger(__name__)


class LimitError(DownloadCancelled):  # type: ignore[misc]
    """A limit of ours that ends a transfer. It passes through yt-dlp, which would retry other errors.

    Args:
        reason: a code of MEDIA_REASONS.
        detail: the limit and what passed it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class _Stream:
    """A response's body that hands out what there is, so that a trickle cannot hold us past the time limit."""

    def __init__(self, body: Any, check: Callable[[int], None]) -> None:
        self._body = body
        self._check = check

    def read(self, amt: int | None = None, **options: Any) -> bytes:
        read = getattr(self._body, "read1", self._body.read)
        data: bytes = read(READ_BYTES if amt is None else amt, **options)
        self._check(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class _Session(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """A YoutubeDL for one thread, within the limits above. One video at a time."""

    def __init__(self, source: SourceSettings, download: DownloadSettings, depth: int | None) -> None:
        self.source, self.download_settings = source, download
        self.warnings: list[str] = []
        plugin_dirs.value = []
        super().__init__(_parameters(self, download, depth), auto_init=False)
        self.cookiejar = _guest_cookies(download.cookies_file)
        for name in extractor_names(source):
            module, class_name = name.split(":")
            self.add_info_extractor(getattr(importlib.import_module(module), class_name)())

    def begin(self, media_root: str | Path = "", video_id: str = "") -> None:
        """Forget the last video; the clock starts."""
        self.media_root, self.video_id = media_root, video_id
        self.partial: Path | None = None
        self.warnings.clear()
        self._deadline = time.monotonic() + self.download_settings.timeout_s
        self._num_bytes = 0

    def debug(self, message: str) -> None:
        """yt-dlp's logger interface."""
        logger.debug("%s", message)

    def warning(self, message: str) -> None:
        """yt-dlp's logger interface; warnings explain missing formats later."""
        logger.info("%s", message)
        self.warnings.append(message)

    error = debug  # the exception that follows says the same

    def urlopen(self, request: Any) -> Any:
        """Ask, if the host may be asked; the answer is read within the limits."""
        self._check_url(request if isinstance(request, str) else request.url)
        self._check_limits()
        response = super().urlopen(request)
        self._check_url(response.url)
        response.fp = _Stream(response.fp, self._check_limits)
        return response

    def _check_url(self, url: str) -> None:
        if not is_allowed_url(url, allowed_hosts(self.source)):
            raise LimitError("unexpected", f"refused to ask {clean_detail(url)[:200]}: not a host of the source")

    def _check_limits(self, num_new_bytes: int = 0) -> None:
        self._num_bytes += num_new_bytes
        limits = self.download_settings
        if time.monotonic() > self._deadline:
            raise LimitError("network", f"time limit of {limits.timeout_s:g} s")
        if self._num_bytes > limits.max_bytes + MAX_PAGE_BYTES:
            raise LimitError("file_too_large", f"more than {limits.max_bytes} bytes")

    def extract(self, url: str) -> dict[str, Any]:
        """Full metadata of the video at `url`; nothing is downloaded."""
        metadata = self.extract_info(url, download=False, process=False)
        if not isinstance(metadata, dict) or metadata.get("_type", "video") != "video":
            raise DownloadError(f"{url} is no single video")
        if metadata.get("id") != self.video_id:
            raise DownloadError(f"asked for {self.video_id}, got another video")
        return metadata

    def list_entries(self, address: str) -> list[dict[str, Any]]:
        """Search results, or videos of a channel or playlist, as flat entries."""
        listing = self.extract_info(address, download=False)
        entries = listing.get("entries") if isinstance(listing, dict) else None
        return [entry for entry in entries or [] if isinstance(entry, dict) and _is_video(entry)]

    def download_media(self, metadata: dict[str, Any]) -> Row:
        """Fetch the formats chosen from `metadata` into `partial`; columns of `media` without the outcome."""
        metadata = {**metadata, "is_live": False, "live_status": "not_live"}
        for name in ("section_start", "section_end"):  # yt-dlp would hand the address to ffmpeg
            metadata.pop(name, None)
        for i, item in enumerate(metadata.get("formats") or []):
            item["source_format_id"] = str(item.get("format_id") or i)
            item["format_id"] = f"f{i}"  # becomes part of a file name
        info = self.process_ie_result(metadata, download=True)
        try:
            return self._describe_media(info)
        except (IncompleteMediaError, MediaError):
            drop_partials(self.media_root, self.video_id)
            raise

    def choose(self, context: dict[str, Any]) -> Iterator[Any]:
        """yt-dlp's format selector: our choice, checked against size and disk; names the file."""
        limits = self.download_settings
        chosen = choose_formats(context["formats"], limits.max_height)
        if not chosen:
            return
        if expected_bytes(chosen) > limits.max_bytes:
            raise LimitError("file_too_large", f"{expected_bytes(chosen)} bytes announced, {limits.max_bytes} allowed")
        self._check_room(expected_bytes(chosen))
        for item in chosen:
            self._check_playlist(item)
        self.partial = partial_path(self.media_root, self.video_id, format_key(chosen))
        self.partial.parent.mkdir(exist_ok=True)
        self.params["outtmpl"]["default"] = str(self.partial).replace("%", "%%")
        self._chosen = chosen
        yield from self.build_format_selector("+".join(item["format_id"] for item in chosen))(context)

    def _check_playlist(self, item: Any) -> None:
        """Fetch an HLS playlist here: one that yt-dlp cannot take natively it would hand to ffmpeg."""
        if item["protocol"] != "m3u8_native":
            return
        with self.urlopen(item["url"]) as response:
            item["url"], playlist = response.url, response.read().decode(errors="replace")
        if not HlsFD.can_download(playlist, {}) or "METHOD=AES" in playlist:
            raise LimitError("drm_protected", "the playlist is encrypted")
        item["hls_media_playlist_data"] = playlist

    def watch_progress(self, progress: dict[str, Any]) -> None:
        """yt-dlp's progress hook: size, time, room, and what was received before ffmpeg may read it."""
        self._check_limits()
        limits = self.download_settings
        num_bytes = max(progress.get("downloaded_bytes") or 0, progress.get("total_bytes") or 0)
        if num_bytes > limits.max_bytes:
            raise LimitError("file_too_large", f"{num_bytes} bytes, {limits.max_bytes} allowed")
        if progress["status"] == "finished":
            check_media_start(Path(progress["filename"]))
        elif not progress.get("fragment_index"):
            self._check_room(num_bytes - (progress.get("downloaded_bytes") or 0))

    def _check_room(self, num_bytes: int) -> None:
        limits = self.download_settings
        check_room(self.media_root, num_bytes, limits.min_free_bytes, limits.max_total_bytes)

    def _describe_media(self, info: dict[str, Any]) -> Row:
        partial, chosen = self.partial, self._chosen
        if partial is None or not partial.is_file():
            raise IncompleteMediaError("yt-dlp ended without a file")
        check_boxes(partial)
        found = probe_media(partial)
        if found.audio_codec is None:
            raise MediaError("no_audio", "the file has no sound")
        sound = next(item for item in chosen if item.get("acodec") != "none")
        return {
            "video_id": self.video_id,
            "media_path": str(Path(*media_path(self.media_root, self.video_id).parts[-2:])),
            "num_bytes": partial.stat().st_size,
            "sha256": sha256_of(partial),
            "format_id": "+".join(item["source_format_id"] for item in chosen),
            **_codecs(chosen, found),
            "audio_language": sound.get("language"),
            "is_original_audio": True,
        }


def _codecs(chosen: list[Format], found: MediaInfo) -> Row:
    """The site's codec strings, which say more than the file's; sizes and duration as measured."""
    named = {}
    for ours, theirs in (("video_codec", "vcodec"), ("audio_codec", "acodec")):
        named[ours] = next((item[theirs] for item in chosen if item.get(theirs) not in (None, "none")), None)
    return {
        "video_codec": named["video_codec"] or found.video_codec,
        "audio_codec": named["audio_codec"] or found.audio_codec,
        "width": found.width,
        "height": found.height,
        "fps": found.fps,
        "duration_ms": found.duration_ms,
    }


def _parameters(session: _Session, download: DownloadSettings, depth: int | None) -> dict[str, Any]:
    """yt-dlp's parameters; everything that would read or write elsewhere stays off."""
    deno = Path(sys.executable).with_name("deno")
    parameters = {
        "quiet": True,
        "noprogress": True,
        "color": "no_color",
        "logger": session,
        "cachedir": False,
        "geo_bypass": False,
        "noplaylist": True,
        "updatetime": False,
        "hls_prefer_native": True,
        "merge_output_format": "mp4",
        "js_runtimes": {"deno": {"path": str(deno)} if deno.exists() else {}, "node": {}},
        "ffmpeg_location": ffmpeg_path(),
        "format": session.choose,
        "format_sort": [f"res:{download.max_height}", "vcodec:h264", "acodec:aac"],
        "progress_hooks": [session.watch_progress],
        "socket_timeout": download.socket_timeout_s,
        "retries": download.retries,
        "fragment_retries": download.retries,
        "extractor_retries": download.retries,
        "skip_unavailable_fragments": False,
        "retry_sleep_functions": dict.fromkeys(
            ("http", "fragment", "extractor"), lambda n: min(download.retry_sleep_s * 2**n, 30.0)
        ),
    }
    if depth is not None:
        parameters |= {"extract_flat": True, "playlistend": depth, "noplaylist": False}
    return parameters


@lru_cache
def _guest_cookies(cookies_file: Path | None) -> Any:
    """One cookie jar for all threads: to the site we are one guest, not one a thread."""
    if cookies_file is not None and not cookies_file.is_file():
        raise ValueError(f"download.cookies_file: no such file: {cookies_file}")
    return load_cookies(str(cookies_file) if cookies_file else None, None, None)


_SESSIONS = threading.local()


def _session(source: SourceSettings, download: DownloadSettings, depth: int | None = None) -> _Session:
    """This thread's session: connections are kept from one video to the next."""
    key = (source, download, depth)
    if getattr(_SESSIONS, "key", None) != key:
        _SESSIONS.session, _SESSIONS.key = _Session(source, download, depth), key
    session: _Session = _SESSIONS.session
    return session


def _is_video(entry: dict[str, Any]) -> bool:
    kind = str(entry.get("ie_key") or "")
    return entry.get("_type") != "playlist" and not kind.endswith(("Tab", "Playlist", "Search"))


def search_videos(query: str, depth: int, source: SourceSettings, pacer: Pacer | None = None) -> list[Row]:
    """The first `depth` results of a query, without a request for each video.

    Args:
        query: what to search for; for the source `ids` an id, or the address of a channel or playlist.
        depth: most results taken.
        source: the site.
        pacer: waits for its turn and is told the outcome.

    Returns:
        Rows of the table `discoveries`, ranks from 1, each video once.

    Raises:
        TransientError: rate_limited, bot_check, network.
        ValueError: yt-dlp failed in a way that a later try will not mend.
    """
    found = SOURCES[source.name].find(query, depth, source)
    entries = found if isinstance(found, list) else _list(found, depth, source, pacer)
    rows: dict[str, Row] = {}
    for entry in entries:
        video_id = str(entry.get("id") or "")
        try:
            watch_url(video_id, source)
        except ValueError:
            logger.warning("search result without a usable id: %r", video_id[:80])
            continue
        rows.setdefault(video_id, make_discovery(query, video_id, len(rows) + 1, entry))
    return list(rows.values())[:depth]


def _list(address: str, depth: int, source: SourceSettings, pacer: Pacer | None) -> list[dict[str, Any]]:
    session = _session(source, DownloadSettings(), depth)
    if pacer is not None:
        pacer.acquire()
    session.begin()
    entries, outcome = _attempt(lambda: session.list_entries(address), session, pacer)
    if entries is None:
        raise ValueError(f"search {address!r}: {outcome['reason']}: {outcome['detail']}" if outcome else address)
    found: list[dict[str, Any]] = entries
    return found


def fetch_video(
    video_id: str,
    media_root: str | Path,
    source: SourceSettings,
    selection: SelectionSettings,
    download: DownloadSettings,
    pacer: Pacer | None = None,
) -> tuple[Row, Row | None]:
    """Metadata, selection and, if the video is wanted, its media: one request chain.

    A complete file of an earlier, killed run is taken as it is.

    Returns:
        (row of `videos`, row of `media`). The media row is None when a rule dropped the video or when not even its
        metadata could be had; the row of `videos` then has the reason.

    Raises:
        TransientError: network, rate_limited, bot_check: what was received stays, the next try goes on from there.
        ValueError: `video_id` is none, or the file system folds case.
    """
    url = watch_url(video_id, source)
    prepare_media_root(media_root)
    record = read_record(media_root, video_id)
    recipes = {"videos": recipe_of(source, selection, download), "media": recipe_of(source, download)}
    if record is not None and record.get("recipes") == recipes:
        return {**record["video"], "discovered_at": _time(record["fetched_at"])}, _known_media(record)
    session = _session(source, download)
    if pacer is not None:
        pacer.acquire()
    session.begin(media_root, video_id)
    metadata, outcome = _attempt(lambda: session.extract(url), session, pacer)
    if metadata is None:
        return {"video_id": video_id, "source": source.name, "url": url, **(outcome or {})}, None
    video = make_video(video_id, metadata, source, selection)
    rejected = select(metadata, selection)
    if rejected is not None:
        return {**video, **rejected}, None
    if record is not None and record.get("recipes", {}).get("media") == recipes["media"]:
        return {**video, **OK}, _known_media(record)
    media, outcome = _attempt(lambda: session.download_media(metadata), session, pacer)
    if media is None:
        return {**video, **OK}, {"video_id": video_id, **(outcome or {}), "fetched_at": datetime.now(UTC)}
    return _keep(session, {**video, **OK}, media, recipes)


def _attempt(work: Callable[[], Any], session: _Session, pacer: Pacer | None) -> tuple[Any, Row | None]:
    """(result, None), or (None, outcome columns); raises TransientError."""
    try:
        result = work()
    except (LimitError, NoFormatError) as error:
        reason, detail = error.reason, error.detail
    except MediaError as error:
        reason, detail = error.reason, clean_detail(str(error))
    except DiskFullError as error:
        reason, detail = "disk_full", str(error)
    except IncompleteMediaError as error:
        reason, detail = "network", str(error)
    except (YoutubeDLError, OSError) as error:
        reason, detail = classify(error, session.warnings)
    else:
        if pacer is not None:
            pacer.observe(None)
        return result, None
    if pacer is not None:
        pacer.observe(reason)
    if reason in TRANSIENT:
        raise TransientError(reason, detail)
    return None, failed(reason, detail)


def _keep(session: _Session, video: Row, media: Row, recipes: Row) -> tuple[Row, Row]:
    """Give the file its name and its record; the rows."""
    fetched_at = datetime.now(UTC)
    plain_video = {name: value for name, value in video.items() if name != "discovered_at"}
    record = {"recipes": recipes, "video": plain_video, "media": media, "fetched_at": fetched_at.isoformat()}
    assert session.partial is not None
    keep_media(session.partial, session.media_root, session.video_id, record)
    return video, _known_media(record)


def _known_media(record: Row) -> Row:
    return {**record["media"], **OK, "fetched_at": _time(record["fetched_at"])}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
