"""What a site says of a video, in the types that the rest counts on: a field of another type says nothing.

yt-dlp hands on what its extractors find, and an extractor hands on what the site wrote. Whatever comes after this door
may compare, add and store without asking.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

MAX_TEXT_CHARS = 10_000
_MAX_COUNT = 2**62
_MAX_SECONDS = 10**9

_Cleaner = Callable[[Any], Any]


def clean_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a video, or an entry of a listing, with None for every value of a type or size it cannot have.

    Fields that the project does not read stay as they are: yt-dlp wants them back.
    """
    return _clean(metadata, _FIELDS)


def _clean(found: Mapping[str, Any], cleaners: Mapping[str, _Cleaner]) -> dict[str, Any]:
    known = {name: cleaners[name](found[name]) for name in found.keys() & cleaners.keys()}
    return {**found, **known}


def _text(value: Any) -> str | None:
    """UTF-8 can hold no lone surrogate, JSON can."""
    return value[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and low <= value <= high else None


def _seconds(value: Any) -> float | None:
    return _number(value, 0, _MAX_SECONDS)


def _whole(value: Any) -> int | None:
    number = _number(value, -_MAX_COUNT, _MAX_COUNT)
    return None if number is None else int(number)


def _count(value: Any) -> int | None:
    number = _whole(value)
    return number if number is not None and number >= 0 else None


def _captions(value: Any) -> dict[str, Any] | None:
    return {key: item for key, item in value.items() if isinstance(key, str)} if isinstance(value, Mapping) else None


def _formats(value: Any) -> list[dict[str, Any]] | None:
    if not isinstance(value, list | tuple):
        return None
    return [_clean(item, _FORMAT_FIELDS) for item in value if isinstance(item, Mapping)]


_TEXTS = ("title", "channel_id", "upload_date", "license", "description", "language", "live_status", "availability")
_FIELDS: Mapping[str, _Cleaner] = {
    **dict.fromkeys(_TEXTS, _text),
    "duration": _seconds,
    "view_count": _count,
    "age_limit": _count,
    "automatic_captions": _captions,
    "formats": _formats,
}
_FORMAT_FIELDS: Mapping[str, _Cleaner] = {
    **dict.fromkeys(("protocol", "vcodec", "acodec", "language", "format_id", "url"), _text),
    **dict.fromkeys(("height", "width", "filesize", "filesize_approx"), _count),
    "language_preference": _whole,
}
