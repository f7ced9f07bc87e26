"""The chunks of an AVI file, in which every packet lies in one."""

import re
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

CHUNK_HEAD = 8
"""Bytes: a name and a length."""
_NAME = re.compile(rb"[0-9A-Za-z]{3}[0-9A-Za-z ]")
_PACKET = re.compile(rb"[0-9]{2}(dc|db|wb)")
_MOVIE = re.compile(rb"LIST.{4}movi", re.DOTALL)
_HOLDERS = frozenset({b"RIFF", b"LIST"})


@lru_cache(maxsize=256)
def find_damage(path: str, _size: int, _changed: int, until: int | None = None) -> int | None:
    """Where among a file's packets no chunk begins though one should, and packets follow; None if nowhere.

    Args:
        path: the file; its size and time of change say that it is the same.
        until: bytes; the end of the file when not given.
    """
    with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        movie = _MOVIE.search(content)
        position = len(content) if movie is None else movie.end()
        while position + CHUNK_HEAD <= len(content) and (until is None or position < until):
            name = content[position : position + 4]
            if not _NAME.fullmatch(name):
                return position if _PACKET.search(content, position) else None
            if name in _HOLDERS:
                position += CHUNK_HEAD + 4
                continue
            end = position + CHUNK_HEAD + int.from_bytes(content[position + 4 : position + CHUNK_HEAD], "little")
            is_padded = end % 2 == 1 and _NAME.match(content, end + 1)
            position = end + 1 if is_padded else end
        return None
