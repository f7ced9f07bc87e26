"""Small pictures of videos and clips in the page: made once, and taken over from the page of before."""

import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.report.page import data_address

WIDTH = 160
MOST_PICTURES = 100
MOST_BYTES = 16_384
"""Of one picture; a larger one is left out, so that all of a page are below 2.2 MB as text."""
MADE_BY = "decode_clip"
"""Of a page from before another way was taken, the pictures are made anew."""
_MADE = re.compile(r'<img data-made="([0-9a-f]{16})" src="(data:image/jpeg;base64,[A-Za-z0-9+/=]+)"')


@dataclass(frozen=True)
class Frame:
    """A moment of a media file."""

    path: Path
    sha256: str | None
    """Of the file, so that another file of the same name has another picture."""
    at_ms: int

    @cached_property
    def made(self) -> str:
        """What the picture was made of, and how, in 16 hex digits."""
        told = f"{self.sha256 or self.path.name} {self.at_ms} {WIDTH} {MADE_BY}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Picture:
    """A JPEG in a page."""

    made: str
    address: str
    at_ms: int


def make_pictures(wanted: Mapping[str, Frame], page: Path, num_workers: int) -> dict[str, Picture]:
    """Pictures of at most `MOST_PICTURES` frames, by the names given; none of a file that holds no picture.

    Args:
        wanted: name to frame, the most wanted first.
        page: where the page is written: what it holds is not made again.
        num_workers: pictures that are made at once.
    """
    known = dict(_MADE.findall(page.read_text(encoding="utf-8"))) if page.is_file() else {}
    chosen = dict(list(wanted.items())[:MOST_PICTURES])
    missing = {frame.made: frame for frame in chosen.values() if frame.made not in known}
    if missing:
        with ThreadPoolExecutor(num_workers) as pool:
            known |= dict(zip(missing, pool.map(_encode, missing.values()), strict=True))
    found = {name: Picture(frame.made, known[frame.made], frame.at_ms) for name, frame in chosen.items()}
    return {name: picture for name, picture in found.items() if picture.address}


def _encode(frame: Frame) -> str:
    """The picture as a data: address; empty where there is none."""
    # Loads PyAV, which a page without media does not need.
    from datasets.outcomes import MediaError
    from features.frames.thumbnails import encode_thumbnail

    try:
        content = encode_thumbnail(frame.path, frame.at_ms, WIDTH)
    except MediaError:
        return ""
    return data_address("image/jpeg", content) if len(content) <= MOST_BYTES else ""
