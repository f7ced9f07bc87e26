"""Where videos come from: a table of sources, each saying how a query becomes an address and which hosts may answer."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import AfterValidator, Field, field_validator

from datasets.ids import check_video_id
from datasets.settings import OUTSIDE_RECIPE, Settings, without_secrets
from extract.folder import find_file

YOUTUBE_EXTRACTORS = tuple(
    f"yt_dlp.extractor.youtube:{name}" for name in ("YoutubeIE", "YoutubeTabIE", "YoutubePlaylistIE", "YoutubeSearchIE")
)
YOUTUBE_HOSTS = ("youtube.com", "youtube-nocookie.com", "youtu.be", "googlevideo.com", "googleapis.com", "ytimg.com")


_NO_VIDEOS = ("videoseries", "live_stream")
"""In place of an id in addresses that embed a playlist or a channel's broadcast."""
_CHANNEL = re.compile(r"^https?://[\w.-]+/(@[^/?#]+|(channel|c|user)/[^/?#]+)/?$")


def check_address(field: str, value: str) -> str:
    """Return the address of a field if it can stand for any video's; raises ValueError."""
    if not re.match(r"https?://", value) or value.count("{video_id}") != 1:
        told = without_secrets(value)
        raise ValueError(f"{field} must be an http(s) address with one {{video_id}}, got {told!r}")
    return value


class SourceSettings(Settings):
    """Which site is asked, and how."""

    name: Literal["youtube", "site", "ids", "folder"] = "youtube"
    """youtube: search YouTube. site: another site by its own extractors. ids: a list of ids, channels, playlists.
    folder: media files of your own."""
    search_prefix: Annotated[str, OUTSIDE_RECIPE] = Field(default="ytsearch", pattern=r"^[a-z][a-z0-9]*$")
    """Search key of the extractor: `{search_prefix}{depth}:{query}`."""
    watch_url: Annotated[str, AfterValidator(partial(check_address, "watch_url")), OUTSIDE_RECIPE] = (
        "https://www.youtube.com/watch?v={video_id}"
    )
    """Address of one video; `{video_id}` is replaced."""
    extractors: tuple[str, ...] = ()
    """Extractor classes "module:Class", asked before the source's own; the source `site` has only these."""
    allowed_hosts: Annotated[tuple[str, ...], OUTSIDE_RECIPE] = ()
    """Hosts, with their subdomains, that may be asked at all; empty: YouTube's, or the host of `watch_url`."""
    ids_file: Annotated[Path | None, OUTSIDE_RECIPE] = None
    """For the source `ids`: a text file with one video id, watch, channel or playlist address a line (`#` begins a
    comment); or a table of any layout that docs/lists.md names: .csv, .tsv, .json, .jsonl, .parquet, .pkl."""
    column: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Of a table: the column that names the videos, where its name does not tell."""

    folder: Annotated[str | None, OUTSIDE_RECIPE] = None
    """For the source `folder`: a local folder or an fsspec URL (s3://, hf://datasets/OWNER/NAME/...) with media files,
    nested, of any names. What lies beside a file says more of it: yt-dlp's `NAME.info.json`, or its row of the folder's
    `metadata.csv`, whose column `file_name` names it."""
    copy_files: Annotated[bool, OUTSIDE_RECIPE] = False
    """Copy the files of a local folder into the media root; else they are read where they lie, through links."""

    @field_validator("extractors")
    @classmethod
    def _check_extractors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
                raise ValueError(f'extractors must look like "module:Class", got {name!r}')
        return value


@dataclass(frozen=True)
class Source:
    """What the yt-dlp door has to know of a source."""

    find: Callable[[str, int, SourceSettings], str | list[dict[str, Any]]]
    """(query, depth, settings) to an address to list, or to discoveries where no request is needed."""
    extractors: tuple[str, ...]
    hosts: tuple[str, ...]


def _find_by_search(query: str, depth: int, settings: SourceSettings) -> str:
    return f"{settings.search_prefix}{depth}:{query}"


def _find_by_id(query: str, depth: int, settings: SourceSettings) -> str | list[dict[str, Any]]:
    video_id = video_id_of(query)
    if video_id is not None or "://" not in query:
        return [{"id": video_id or query}]
    # The address of a channel lists its tabs; its videos are one of them.
    return f"{query.rstrip('/')}/videos" if _CHANNEL.search(query) else query


SOURCES: Mapping[str, Source] = {
    "youtube": Source(_find_by_search, YOUTUBE_EXTRACTORS, YOUTUBE_HOSTS),
    "site": Source(_find_by_search, (), ()),
    "ids": Source(_find_by_id, YOUTUBE_EXTRACTORS, YOUTUBE_HOSTS),
    "folder": Source(lambda query, _, settings: find_file(query, settings.folder or ""), (), ()),
}


def watch_url(video_id: str, settings: SourceSettings) -> str:
    """Address of a video; raises ValueError for what is no video id. A file's path is nobody else's concern."""
    if settings.name == "folder":
        return f"folder:{check_video_id(video_id)}"
    return settings.watch_url.replace("{video_id}", check_video_id(video_id))


def public_url(video_id: str, settings: SourceSettings) -> str:
    """The address of a video as tables and releases keep it."""
    return without_secrets(watch_url(video_id, settings))


def extractor_names(settings: SourceSettings) -> tuple[str, ...]:
    """Extractor classes in the order in which they are asked."""
    return settings.extractors + SOURCES[settings.name].extractors


def allowed_hosts(settings: SourceSettings) -> tuple[str, ...]:
    """Hosts, with their subdomains, that this source may ask."""
    own = urlsplit(settings.watch_url).hostname or ""
    return settings.allowed_hosts or (*SOURCES[settings.name].hosts, own)


def is_allowed_url(url: str, hosts: tuple[str, ...]) -> bool:
    """True for http(s) addresses of `hosts` and their subdomains."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https"):
        return False
    host = (parts.hostname or "").lower()
    return any(host == name or host.endswith(f".{name}") for name in hosts)


def _split(url: str) -> SplitResult | None:
    """None for what no address can look like, such as a bracket that never closes."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def video_id_of(text: str) -> str | None:
    """The video id that a line names, bare or in a watch address; None for channels and playlists.

    A bare word of 11 id characters is a YouTube id; channel ids are longer, handles begin with '@'.
    """
    parts = _split(text)
    if parts is None:
        return None
    if not parts.scheme:
        return text if re.fullmatch(r"[A-Za-z0-9_-]{11}", text) else None
    asked = parse_qs(parts.query).get("v", [])
    if parts.hostname == "youtu.be" or parts.path.startswith(("/shorts/", "/embed/", "/live/", "/v/")):
        asked = [parts.path.rstrip("/").rsplit("/", 1)[-1]]
    is_id = asked and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", asked[0]) and asked[0] not in _NO_VIDEOS
    return asked[0] if is_id else None


def read_ids_file(path: str | Path) -> list[str]:
    """The queries of a source `ids`: lines of the file without comments, blank lines and repetitions.

    They are kept in tables, so that an address is asked without user, password and keys.

    Raises:
        ValueError: the file cannot be read, or a line is neither id nor http(s) address.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"source.ids_file: cannot read {path}: {error}") from error
    queries = [without_secrets(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for query in queries:
        if video_id_of(query) is None and not (re.match(r"https?://", query) and _split(query)):
            raise ValueError(f"source.ids_file: {path}: neither a video id nor an address: {query[:80]!r}")
    return list(dict.fromkeys(queries))
