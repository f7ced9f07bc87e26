"""What a site says of a video, in the types that the rest counts on: a field of another type says nothing.

yt-dlp hands on what its extractors find, and an extractor hands on what the site wrote. Whatever comes after this door
may compare, add and store without asking. yt-dlp gets back only what is named here: an unknown key may be an order to
it, such as `__postprocessors`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from datasets.numbers import read_number

MAX_FORMATS = 1000
"""More are left unread; 192 is the most that was seen."""
MAX_SEGMENTS = 50_000
"""A day in pieces of two seconds."""
MAX_TEXT_CHARS = 10_000
_MAX_COUNT = 2**62
_MAX_SECONDS = 10**9

_Cleaner = Callable[[Any], Any]


def clean_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a video or an entry of a listing, with None for every value of a type or size it cannot have."""
    return _clean(metadata, _FIELDS)


def _clean(found: Mapping[str, Any], cleaners: Mapping[str, _Cleaner]) -> dict[str, Any]:
    return {name: clean(found[name]) for name, clean in cleaners.items() if name in found}


def _text(value: Any) -> str | None:
    """UTF-8 can hold no lone surrogate, JSON can."""
    return value[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _number(value: Any, low: float, high: float) -> float | None:
    """Of a number; a text in its place says nothing here."""
    try:
        return None if isinstance(value, str) else float(read_number(value, low, high))
    except ValueError:
        return None


def _seconds(value: Any) -> float | None:
    return _number(value, 0, _MAX_SECONDS)


def _real(value: Any) -> float | None:
    return _number(value, -_MAX_COUNT, _MAX_COUNT)


def _whole(value: Any) -> int | None:
    number = _real(value)
    return None if number is None else int(number)


def _count(value: Any) -> int | None:
    number = _whole(value)
    return number if number is not None and number >= 0 else None


def _headers(value: Any) -> dict[str, str]:
    """Those that a browser sends; others order yt-dlp about, such as its own for a proxy."""
    told = value.items() if isinstance(value, Mapping) else ()
    return {name: text for name, text in told if str(name).lower() in _HEADERS and isinstance(text, str)}


def _list_of(cleaners: Mapping[str, _Cleaner], most: int) -> _Cleaner:
    """Cleans the first `most` items of a list, each by `cleaners`."""

    def clean(value: Any) -> list[dict[str, Any]] | None:
        if not isinstance(value, list | tuple):
            return None
        return [_clean(item, cleaners) for item in value[:most] if isinstance(item, Mapping)]

    return clean


_HEADERS = frozenset({"user-agent", "accept", "accept-language", "referer", "origin", "sec-fetch-mode"})
_SEGMENT_FIELDS: Mapping[str, _Cleaner] = {"url": _text, "path": _text, "duration": _seconds, "filesize": _count}
_FORMAT_FIELDS: Mapping[str, _Cleaner] = {
    **dict.fromkeys(("protocol", "vcodec", "acodec", "language", "format_id", "url", "ext", "container"), _text),
    **dict.fromkeys(("format_note", "dynamic_range", "fragment_base_url"), _text),
    **dict.fromkeys(("height", "width", "filesize", "filesize_approx", "audio_channels"), _count),
    **dict.fromkeys(("fps", "tbr", "vbr", "abr", "asr", "quality", "preference", "source_preference"), _real),
    **dict.fromkeys(("language_preference", "available_at"), _whole),
    "has_drm": bool,
    "fragments": _list_of(_SEGMENT_FIELDS, MAX_SEGMENTS + 1),
    "http_headers": _headers,
    "downloader_options": lambda value: (
        _clean(value, {"http_chunk_size": _count}) if isinstance(value, Mapping) else {}
    ),
}
# A site with one format names it in the video's own fields.
_FIELDS: Mapping[str, _Cleaner] = {
    **_FORMAT_FIELDS,
    **dict.fromkeys(("id", "_type", "title", "channel_id", "upload_date", "license", "description"), _text),
    "modified_content_notice": _text,  # what a platform says of pictures or sound that a machine made
    **dict.fromkeys(("live_status", "availability", "extractor", "extractor_key", "webpage_url"), _text),
    "is_live": bool,
    "duration": _seconds,
    **dict.fromkeys(("view_count", "age_limit"), _count),
    "automatic_captions": lambda value: (  # their languages; no caption is fetched
        {key: [] for key in list(value)[:1000] if isinstance(key, str)} if isinstance(value, Mapping) else None
    ),
    "formats": _list_of(_FORMAT_FIELDS, MAX_FORMATS),
}
