"""What a container has cut away from each picture (`clap` of mp4, PixelCrop of Matroska), as libavformat reads it.

PyAV shows nothing of it, but libavformat writes it again: into the header of a file of the same family, made in memory.
"""

from collections.abc import Iterator
from struct import unpack_from
from typing import Any

from datasets.media.container import write_header
from features.frames.filters import Crop

# Boxes within boxes of mp4, and elements within elements of Matroska, down to what says it.
_CLAP = b"\0\0\0\x28clap"
_VIDEO = (0x18538067, 0x1654AE6B, 0xAE, 0xE0)
_PIXEL_CROPS = (0x54CC, 0x54DD, 0x54BB, 0x54AA)


def crop_of(container: Any, index: int) -> Crop | None:
    """What is cut away from the pictures of a video stream; None where its container does not say so.

    Args:
        container: an open media file.
        index: of its video stream.
    """
    stream = container.streams[index]
    if container.format.name.startswith("mov"):
        header = write_header(stream, "mov", movflags="empty_moov")
        at = header.find(_CLAP)
        return None if at < 0 else _read_clap(header, at + len(_CLAP), stream.width, stream.height)
    if container.format.name.startswith("matroska"):
        content = write_header(stream, "matroska")
        for name in _VIDEO:
            content = dict(_elements(content)).get(name, b"")
        crops = dict(_elements(content))
        if crops.keys() & set(_PIXEL_CROPS):
            return Crop(*(int.from_bytes(crops.get(name, b"")) for name in _PIXEL_CROPS))
    return None


def _read_clap(header: bytes, position: int, width: int, height: int) -> Crop:
    """From a size and the distance of its centre from the picture's, fractions that stand for whole pixels."""
    wide, _, high, _, right, right_parts, down, down_parts = unpack_from(">4IiIiI", header, position)
    left = (width - wide + 2 * right // right_parts) // 2
    top = (height - high + 2 * down // down_parts) // 2
    return Crop(left, width - wide - left, top, height - high - top)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(id, content) of the elements of EBML in an element; one of unknown length goes on to the end."""
    position = 0
    while position < len(content):
        name_length, size_length = 9 - content[position].bit_length(), 0
        name = int.from_bytes(content[position : position + name_length])
        position += name_length
        size_length = 9 - content[position].bit_length()
        size = int.from_bytes(content[position : position + size_length]) - (1 << 7 * size_length)
        position += size_length
        yield name, content[position : position + size]
        position += size
