"""Ids of videos and clips. Nothing random in them: the same input gives the same id."""

import re

_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_video_id(video_id: str) -> str:
    """Return `video_id` if it may become a file name and a URL part; ids come from the web.

    Raises:
        ValueError: it holds anything but letters, digits, '-' and '_', or is longer than 64.
    """
    if not isinstance(video_id, str):
        raise ValueError(
            f"video_id must be 1 to 64 letters, digits, '-' or '_', got no text: {type(video_id).__name__}"
        )
    if not _VIDEO_ID.fullmatch(video_id):
        raise ValueError(f"video_id must be 1 to 64 letters, digits, '-' or '_', got {video_id[:100]!r}")
    return video_id


def make_clip_id(video_id: str, start_ms: int, end_ms: int) -> str:
    """Id of the clip [start_ms, end_ms) of a video; sorts by video, then by time."""
    return f"{video_id}_{start_ms:09d}_{end_ms:09d}"
