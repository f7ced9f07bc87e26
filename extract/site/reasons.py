"""From yt-dlp's exceptions and messages to our reasons: the one place that reads error texts.

Most refusals reach us as text that the site itself wrote. The table below is in order: the first pattern found wins.
"""

import errno
import re
from collections.abc import Iterator, Sequence

from datasets.outcomes import MAX_DETAIL_CHARS
from datasets.outside_text import make_visible

TRANSIENT = frozenset({"network", "rate_limited", "bot_check"})
"""Reasons for which trying again within the run may help; `rate_limited` and `bot_check` open the breaker."""

_PATTERNS: Sequence[tuple[str, str]] = (
    ("restricted_network", r"administrator|google workspace|restricted mode|network restrictions"),
    ("unavailable", r"not available (on|in) this app|no longer supported in this application"),
    ("rate_limited", r"content isn.t available|rate.?limited|too many requests|HTTP Error 429|error 429"),
    ("bot_check", r"not a bot|not a robot|captcha|IP is likely being blocked|unusual traffic|automated queries"),
    ("bot_check", r"^please sign in\b|sign in to continue|page needs to be reloaded"),
    ("removed", r"removed for violating"),  # what follows names a policy, on self-harm, and may end "in your country"
    ("age_restricted", r"confirm your age|age.?(restricted|verification)|mature audience|self-harm"),
    ("age_restricted", r"inappropriate (for some users|or offensive)"),
    ("private", r"private video|video is private|granted access to this video|is unlisted and"),
    (
        "members_only",
        r"members.only|join this channel|available to this channel.s members|music premium|youtube premium",
    ),
    (
        "members_only",
        r"requires payment|rent this video|purchase|subscribers? only|available for (paying )?subscribers",
    ),
    ("geo_blocked", r"in your country|in your (geographic )?location|in your region|geo.?(restrict|block)"),
    ("geo_blocked", r"available from your location|not available in the country|on this country domain"),
    ("not_yet_live", r"live event will begin|premieres? (in|will)|premiere will begin|not currently live|is offline"),
    (
        "not_yet_live",
        r"processing this video|still being processed|live event has not started|will begin in|is upcoming",
    ),
    ("drm_protected", r"\bDRM\b"),
    (
        "removed",
        r"(been|was|video) removed|is no longer available|account .{0,60}(terminated|closed|suspended)|does not exist",
    ),
    (
        "removed",
        r"violating YouTube|copyright|isn.t available any ?more|been deleted|live stream recording is not available",
    ),
    ("network", r"unable to download API page: HTTP Error (404|410)"),  # the site's machine, not the video
    ("removed", r"HTTP Error (404|410)"),
    ("no_js_runtime", r"javascript runtime|js runtime|challenge solving failed|signature (solving|extraction) failed"),
    ("po_token_required", r"\bpo.?token|SABR"),
    ("disk_full", r"no space left|disk quota exceeded|not enough (free )?space"),
    ("network", r"HTTP Error \d|timed? ?out|connection (was )?(reset|refused|aborted|broken|closed)|remote end closed"),
    ("network", r"bytes read|more expected|incomplete ?read|getaddrinfo|name resolution|name or service not known"),
    ("network", r"failed to resolve|network is unreachable|no route to host|broken pipe|SSL|certificate|EOF occurred"),
    ("network", r"unable to (download|connect)|did not get any data|content too short|giving up after|proxy|redirect"),
    ("network", r"incomplete .{0,20}data received|failed to extract any player response|fragment \d+ not found"),
    ("network", r"downloaded file is empty"),
    # What is not shown elsewhere, and a stream whose recording may follow.
    ("unavailable", r"from display on this website|playback on other websites|live event has ended"),
    ("unavailable", r"video player configuration error|watch video on youtube"),
    # No ending is named: one client of the site says so of a video that another plays, and so does an outage.
    ("unavailable", r"video (is )?(currently )?(unavailable|not available|isn't available)"),
    ("unavailable", r"(error occurred|went wrong|technical difficulties)\W.{0,40}try again"),
)
_COMPILED = [(reason, re.compile(pattern, re.IGNORECASE)) for reason, pattern in _PATTERNS]
_WARNING_REASONS = ("no_js_runtime", "po_token_required", "drm_protected")
_NO_FORMAT = re.compile(r"requested format is not available|only images are available|no video formats found", re.I)
_PREFIX = re.compile(r"^(\x1b\[[0-9;]*m)*ERROR:(\x1b\[[0-9;]*m)* *(\[[^\]]{1,60}\] [\w-]{1,64}: )?")
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x1f\x7f]+")


def classify(error: BaseException, warnings: Sequence[str] = ()) -> tuple[str, str]:
    """Reason and detail for what yt-dlp raised.

    Args:
        error: the exception; the ones it wraps (`exc_info`, `cause`, `__cause__`) are looked at first.
        warnings: what yt-dlp warned of before: when formats are missing, that says why.

    Returns:
        (a reason of MEDIA_REASONS, "unexpected" for a text not known; one line of detail).
    """
    chain = list(_causes(error))
    # Without the "[extractor] id:" that yt-dlp puts before a message: an id may hold any word.
    messages = [_PREFIX.sub("", str(getattr(item, "orig_msg", None) or item)) for item in chain]
    detail = clean_detail(messages[0])
    if any(isinstance(item, OSError) and item.errno in (errno.ENOSPC, errno.EDQUOT) for item in chain):
        return "disk_full", detail
    if any(_NO_FORMAT.search(message) for message in messages):
        explained = (classify_message(warning) for warning in warnings)
        return next((reason for reason in explained if reason in _WARNING_REASONS), "unexpected"), detail
    if any(hasattr(item, "countries") for item in chain):
        return "geo_blocked", detail
    for message in messages:
        reason = classify_message(message)
        if reason is not None:
            return reason, detail
    # yt-dlp's own transport errors are known by their module, since yt-dlp has its one door elsewhere.
    modules = {type(item).__module__ for item in chain}
    if "yt_dlp.networking.exceptions" in modules or any(isinstance(i, ConnectionError | TimeoutError) for i in chain):
        return "network", detail
    return "unexpected", detail


def classify_message(message: str) -> str | None:
    """Reason for a text of yt-dlp or YouTube, None for one not known."""
    plain = message.replace("\u2019", "'").replace("\u2018", "'")
    return next((reason for reason, pattern in _COMPILED if pattern.search(plain)), None)


def clean_detail(message: str) -> str:
    """One line without control characters, colours, the bug-report plea, of at most MAX_DETAIL_CHARS characters."""
    line = _CONTROL.sub(" ", message).split("; please report this issue")[0].split(" Use --cookies")[0]
    return make_visible(line.strip())[:MAX_DETAIL_CHARS]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The innermost named cause first: an ExtractorError before the DownloadError around it."""
    wrapped = getattr(error, "exc_info", None)
    inner = wrapped[1] if isinstance(wrapped, tuple) and len(wrapped) > 1 else None
    if isinstance(inner, BaseException) and inner is not error:
        yield from _causes(inner)
    yield error
    for cause in (getattr(error, "cause", None), error.__cause__):
        if isinstance(cause, BaseException) and cause is not error:
            yield cause
