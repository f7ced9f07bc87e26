"""What names mean in lists: the video, times, the split; and which values seem to say when."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

# Names without case, spaces and punctuation. Of several for a video the first of these is taken.
_VIDEO_NAMES = (
    *("youtubeid", "youtubevideoid", "ytid", "ytvideoid", "videoid", "vid", "vidid"),
    *("videopath", "videofile", "videoname", "video", "id"),
)
_UNIT = r"(?:in)?(?P<unit>ms|msecs?|millis|milliseconds?|s|secs?|seconds?)?"
_ROLES = (
    ("address", re.compile(r"(?:video|youtube|yt|watch)?(?:url|link|address)|youtube")),
    ("start", re.compile(rf"(?:clip|segment|seg|time|t)?(?:start|begin)(?:time|timestamp|stamp)?{_UNIT}")),
    ("end", re.compile(rf"(?:clip|segment|seg|time|t)?(?:end|stop)(?:time|timestamp|stamp)?{_UNIT}")),
    ("clips", re.compile(r"timestamps?|segments?|spans?|times|intervals?|annotations?|clips?")),
    ("segment", re.compile(r"segmentid")),
    ("split", re.compile(r"split|subset|set|partition|traintestsplit")),
)
# Where only such a name says when, nobody knows what would be left out.
_TIMELIKE = re.compile(
    r"start|begin|stop|finish|onset|offset|time|stamp|frame|segment|window|interval|\b(end|seconds?|secs?|ms|from|to|[se]|t\d)\b"
    r"|^(tc |mark )?(in|out)( tc| point)?$"
    r"|\b(inicio|fin|début|anfang|ende|von|bis|inizio)\b|[開开]始|[終终]了|[結结]束|시작|종료"
)
# Charades: a class, its start and its end, and so on in one cell.
_SPANS_IN_TEXT = re.compile(r"(?:\w+ [0-9]+\.[0-9]+ [0-9]+\.[0-9]+;?)+")


@lru_cache(maxsize=4096)
def squeeze(name: str) -> str:
    """A name without case, spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=4096)
def role_of(name: str) -> tuple[str, int] | None:
    """What a name means, with its rank; None for one that is not understood."""
    squeezed = squeeze(name)
    if squeezed in _VIDEO_NAMES:
        return "video", _VIDEO_NAMES.index(squeezed)
    for role, pattern in _ROLES:
        if found := pattern.fullmatch(squeezed):
            unit = found.groupdict().get("unit") or "s"
            return role, 1 if unit.startswith("m") else 1000
    return None


@lru_cache(maxsize=4096)
def is_timelike(name: str) -> bool:
    """True for a name that seems to say when."""
    words = re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    return _TIMELIKE.search(words) is not None


def holds_times(value: Any) -> bool:
    """True for a value within which something seems to say when: a name, or two numbers side by side."""
    if isinstance(value, str):
        return _SPANS_IN_TEXT.fullmatch(value.strip()) is not None
    if isinstance(value, Mapping):
        return any(is_timelike(str(name)) or holds_times(inner) for name, inner in value.items())
    if isinstance(value, list):
        return (len(value) == 2 and all(type(n) in (int, float) for n in value)) or any(map(holds_times, value))
    return False
