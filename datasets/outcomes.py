"""How a row came out: ok, dropped or failed, for a reason of a closed vocabulary that says what the next run does."""

import errno
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

MAX_DETAIL_CHARS = 500
_RAN_OUT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Status(StrEnum):
    """How an item came out of a stage."""

    OK = "ok"
    DROPPED = "dropped"
    """Our rule rejected it."""
    FAILED = "failed"
    """The world did."""


class Policy(StrEnum):
    """What a reason means for the next run."""

    NEVER = "never"
    LATER = "later"
    PERSON = "person"


class RowError(Exception):
    """An item that comes out not ok; what raises it knows why, whoever settles its row records it.

    Args:
        reason: a code of the table's vocabulary.
        detail: what happened, for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class TransientError(RowError):
    """Trouble that may pass. The flow tries again; after the last try the row gets `reason`."""


class MediaError(RowError):
    """A media file, or a clip of one, that cannot be used."""


class DeviceError(OSError):
    """A device of this machine fails whatever it is given to do: the run's error, never a row's outcome."""


def ran_out(error: BaseException) -> bool:
    """Whether this machine has no more files or no room to give: the run's error, as it says nothing of an item.

    Memory is not among it, since a damaged file may ask for any amount.
    """
    return getattr(error, "errno", None) in _RAN_OUT


def dropped(reason: str, detail: str = "") -> dict[str, Any]:
    """The outcome columns of a row that our rule rejected."""
    return {"status": Status.DROPPED.value, "reason": reason, "detail": detail[:MAX_DETAIL_CHARS]}


def failed(reason: str, detail: str = "") -> dict[str, Any]:
    """The outcome columns of a row that the world rejected."""
    return {"status": Status.FAILED.value, "reason": reason, "detail": detail[:MAX_DETAIL_CHARS]}


OK: dict[str, Any] = {"status": Status.OK.value, "reason": None, "detail": None}

NEVER, LATER, PERSON = Policy.NEVER, Policy.LATER, Policy.PERSON

_UNEXPECTED = {"unexpected": PERSON}

# Why a video has no media; `extract.site.reasons` maps yt-dlp's errors to these.
MEDIA_REASONS: Mapping[str, Policy] = {
    "removed": NEVER,
    "private": NEVER,
    "geo_blocked": NEVER,
    "age_restricted": NEVER,
    "members_only": NEVER,
    "not_yet_live": LATER,
    "bot_check": LATER,
    "rate_limited": LATER,
    "unavailable": LATER,
    "bad_answer": PERSON,
    "restricted_network": PERSON,
    "no_js_runtime": PERSON,
    "po_token_required": PERSON,
    "drm_protected": NEVER,
    "file_too_large": NEVER,
    "no_original_audio": NEVER,
    "wrong_language": NEVER,
    "video_too_long": NEVER,
    "video_too_short": NEVER,
    "no_audio": NEVER,
    "decode_failed": NEVER,
    "network": LATER,
    "disk_full": LATER,
    "tombstoned": NEVER,
    **_UNEXPECTED,
}
VIDEO_REASONS: Mapping[str, Policy] = {
    **MEDIA_REASONS,
    "too_few_views": NEVER,
    "license_not_allowed": NEVER,
    "no_permission": LATER,
    "already_known": NEVER,
}
GONE_REASONS = frozenset(reason for reason, policy in VIDEO_REASONS.items() if policy is NEVER)
"""Why a video will never be had."""
PERMISSION_REASONS: Mapping[str, Policy] = {
    "unavailable": LATER,
    "network": LATER,
    "rate_limited": LATER,
    "bad_answer": PERSON,
    **_UNEXPECTED,
}
SPEECH_REASONS: Mapping[str, Policy] = {
    "no_audio": NEVER,
    "decode_failed": NEVER,
    "media_missing": LATER,
    **_UNEXPECTED,
}
CLIP_REASONS: Mapping[str, Policy] = {
    "clip_too_short": NEVER,
    "clip_too_long": NEVER,
    "no_speech": NEVER,
    "no_length": NEVER,
    "video_gone": NEVER,
    "clip_past_end": NEVER,
}
FEATURE_REASONS: Mapping[str, Policy] = {
    "no_audio": NEVER,
    "no_video": NEVER,
    "decode_failed": NEVER,
    "clip_past_end": NEVER,
    "picture_missing": NEVER,
    "sound_missing": NEVER,
    "media_missing": LATER,
    **_UNEXPECTED,
}
TRANSCRIPT_REASONS: Mapping[str, Policy] = {
    "no_words": NEVER,
    "no_audio": NEVER,
    "decode_failed": NEVER,
    "media_missing": LATER,
    **_UNEXPECTED,
}
FILTER_REASONS: Mapping[str, Policy] = {"rule_not_fulfilled": NEVER, "figure_missing": NEVER}
AGREEMENT_REASONS: Mapping[str, Policy] = {"no_features": LATER}
PAIR_REASONS: Mapping[str, Policy] = {"media_missing": LATER, "decode_failed": NEVER, **_UNEXPECTED}
SEARCH_REASONS: Mapping[str, Policy] = {"rate_limited": LATER, "bot_check": LATER, "network": LATER, **_UNEXPECTED}
