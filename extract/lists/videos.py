"""Videos as lists name them: ids, addresses, file names, ids with the clip's seconds in them."""

import re
from typing import Any

from datasets.ids import check_video_id
from datasets.numbers import describe
from extract.lists.times import read_time
from extract.sources import video_id_of

# ActivityNet writes v_ID, Kinetics and VATEX ID_000010_000020, VALOR and QVHighlights ID_30.000_40.000, MSVD ID_5_15,
# all of them files such as class/ID.mp4; WavCaps YID.wav.
_SECONDS = r"[0-9]{6}|[0-9]{1,6}\.[0-9]{1,6}|0|[1-9][0-9]{0,3}"
_YOUTUBE = re.compile(rf"(?:v_)?(?P<id>[A-Za-z0-9_-]{{11}})(?:_(?P<start>{_SECONDS})_(?P<end>{_SECONDS}))?")
_FILE = re.compile(r"(?:.*[/\\])?(?P<stem>[^/\\]+)\.(?:mp4|mkv|webm|avi|mov|m4a|wav|flac)")
_AUDIOSET_FILE = re.compile(r"Y(?P<stem>[A-Za-z0-9_-]{11})\.(?:wav|flac)")
_ADDRESS = re.compile(r"(?:https?:)?//|(?:www\.|m\.|music\.)?youtu(?:be\.com|\.be)/", re.IGNORECASE)
_OTHER_SPAN = re.compile(r"(?:v_)?[A-Za-z0-9_-]{11}_[0-9]+_[0-9]+")
_OWN_NUMBER = re.compile(r"video[0-9]{1,5}")


def youtube_id(text: Any) -> tuple[str, tuple[int, int] | None] | None:
    """(id, [start_ms, end_ms] where the name holds a clip) of what can only be a video of YouTube; else None."""
    if not isinstance(text, str):
        return None
    if _ADDRESS.match(text.strip()):
        address = text.strip().removeprefix("//")
        named = video_id_of(address if address.lower().startswith("http") else f"https://{address}")
        return (named, None) if named else None
    file = _AUDIOSET_FILE.fullmatch(text.strip()) or _FILE.fullmatch(text.strip())
    found = _YOUTUBE.fullmatch(file["stem"] if file else text.strip())
    if found is None:
        return None
    return found["id"], (read_time(found["start"]), read_time(found["end"])) if found["start"] else None


def video_named(text: Any) -> tuple[str, tuple[int, int] | None]:
    """As `youtube_id`; a text that is none is the id of another site as it stands.

    Raises:
        ValueError: no id, a number that only the list's authors know, or a clip's numbers of an unknown unit.
    """
    known = youtube_id(text)
    if known is not None:
        return known
    if not isinstance(text, str):
        raise ValueError(f"a video's id is text, got {describe(text)}")
    if _OWN_NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{text.strip()} is MSR-VTT's own number, which no site knows: give its JSON with addresses")
    if _OTHER_SPAN.fullmatch(text.strip()):
        raise ValueError(f"{text.strip()} names a video and a clip's numbers, but not what they count")
    return check_video_id(text.strip()), None
