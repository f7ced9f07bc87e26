"""Addresses in the page: media beside the root, and pages on the web. Both come from tables, hence from strangers."""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit


def link_media(root: str, media_root: Path, media_path: str | None) -> str | None:
    """A percent-encoded path from the root to a local media file; None when the file is not here, or the root is not.

    Never an address of another kind: a colon in a file name is encoded.
    """
    if media_path is None or "://" in root:
        return None
    path = media_root / media_path
    return quote(os.path.relpath(path, root)) if path.is_file() else None


def clip_fragment(start_ms: int, end_ms: int) -> str:
    """The media fragment that plays [start_ms, end_ms)."""
    return f"#t={_seconds(start_ms)},{_seconds(end_ms)}"


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03d}"


def keep_web_address(url: str | None) -> str | None:
    """`url` if it is http or https; None for anything else, such as javascript:."""
    try:
        is_web = url is not None and urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return None
    return url if is_web else None
