"""Chains of Ogg: whole files put one behind another, as recordings of Internet radio are."""

import re
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

# The first page of a stream: its flags, time and number in the stream are fixed (RFC 3533).
_FIRST_PAGE = re.compile(rb"OggS\0[\2\6]\0{8}.{4}\0{4}", re.DOTALL)
_PAGE_BYTES = 27
"""Of a page's head; the last one counts the lengths that follow."""


@lru_cache(maxsize=256)
def find_links(path: str, _size: int, _changed: int) -> tuple[int, ...]:
    """Where the links of a file of Ogg begin, in bytes; one where it is no chain."""
    links, end = [], -1
    with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        for start in [page.start() for page in _FIRST_PAGE.finditer(content)]:
            if start != end:  # the first pages of all streams of a link lie side by side
                links.append(start)
            head_end = start + _PAGE_BYTES
            lengths = content[head_end : head_end + content[head_end - 1]]
            end = head_end + len(lengths) + sum(lengths)
    return tuple(links)
