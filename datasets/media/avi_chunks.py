"""The chunks of an AVI file, in which every packet lies in one."""

import re
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

CHUNK_HEAD = 8
"""Bytes: a name and a length."""
_NAME = re.compile(rb"[0-9A-Za-z]{3}[0-9A-Za-z ]")
_PACKET = re.compile(rb"[0-9]{2}(dc|db|wb)")
_HOLDERS = frozenset({b"RIFF", b"LIST"})


@lru_cache(maxsize=256)
def find_damage(path: str, _size: int, _changed: int) -> int | None:
    """Where in a file no chunk begins though one should, and packets follow; None of a whole file or its beginning."""
    with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        position = 0
        while position + CHUNK_HEAD <= len(content):
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
