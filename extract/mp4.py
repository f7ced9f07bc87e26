"""What an mp4 file says of itself, read without starting ffmpeg: a process for each costs a sixth of its transfer.

Only what ISO/IEC 14496-12 and -14 fix, nothing guessed: of a file that is odd in any way this says nothing, and ffmpeg
is asked.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from struct import error as StructError
from struct import unpack_from
from typing import NamedTuple

from datasets.outcomes import RowError
from extract.container import MediaInfo

MAX_HEADER_BYTES = 64 << 20
MAX_DURATION_S = 10**6  # eleven days: more than the nine digits of a clip's id can name
VIDEO_CODECS = {b"avc1": "h264", b"avc3": "h264", b"hvc1": "hevc", b"hev1": "hevc", b"vp09": "vp9", b"av01": "av1"}
AUDIO_CODECS = {b"mp4a": "aac", b"Opus": "opus"}
TOP_LEVEL_BOXES = frozenset(b"ftyp styp moov moof mdat mfra sidx emsg prft meta udta free skip wide uuid".split())
_EMPTY_BOXES = frozenset((b"free", b"skip", b"wide"))
# In the sample description of mp4a: descriptors with lengths of one or four bytes; type 0x40 is AAC, 0x6B would be mp3.
_AAC = re.compile(rb"esds.{4}\x03(?:\x80{3})?.{4}\x04(?:\x80{3})?.\x40", re.DOTALL)


class IncompleteMediaError(RowError):
    """A file that ends before its own structure does."""


class Box(NamedTuple):
    """One top-level box: its kind and where it lies in the file, its header included."""

    kind: bytes
    start: int
    end: int


def list_boxes(path: Path) -> list[Box]:
    """Top-level boxes of an mp4 file, none of a file of another kind.

    A server that announces too short a length leaves a file that ends inside a box, and its header still reads well.
    Bytes after the last box are none of the file's: line ends, padding, tags.

    Raises:
        IncompleteMediaError: the file ends inside a box, or before it has a header and media.
    """
    boxes: list[Box] = []
    position = 0
    with path.open("rb") as file:
        if file.read(8)[4:8] != b"ftyp":
            return []
        size = path.stat().st_size
        while position < size:
            file.seek(position)
            head = file.read(8)
            length, kind = int.from_bytes(head[:4]), head[4:]
            length = int.from_bytes(file.read(8)) if length == 1 else length
            length = size - position if length == 0 and len(head) == 8 else length
            if length < 8 or position + length > size:
                # Boxes with a header and media are a whole file: what is no box after them, or one that holds nothing,
                # is none of it; but another fragment may follow.
                kinds = {box.kind for box in boxes}
                is_cut_header = b"moof" in kinds and len(head) < 8 and head.strip(b"\0\r\n\t ") != b""
                others = TOP_LEVEL_BOXES if b"moof" in kinds else TOP_LEVEL_BOXES - _EMPTY_BOXES
                if kinds >= {b"moov", b"mdat"} and kind not in others and not is_cut_header:
                    break
                told = f"box {kind!r} at byte {position} of {size} is {length} bytes long"
                raise IncompleteMediaError("network", told)
            boxes.append(Box(kind, position, position + length))
            position += length
    return boxes


def read_header(path: Path, boxes: list[Box]) -> MediaInfo | None:
    """Duration, picture and codecs of an mp4 file with one picture and one sound track; None for all others.

    Args:
        path: the file.
        boxes: its top-level boxes.
    """
    header = next((box for box in boxes if box.kind == b"moov"), None)
    if header is None or header.end - header.start > MAX_HEADER_BYTES or any(box.kind == b"moof" for box in boxes):
        return None
    with path.open("rb") as file:
        file.seek(header.start)
        content = memoryview(file.read(header.end - header.start))[8:]
    try:
        return _describe(content)
    except (StructError, LookupError, ZeroDivisionError):
        return None


def _describe(header: memoryview) -> MediaInfo | None:
    tracks = [dict(_children(track)) for kind, track in _children(header) if kind == b"trak"]
    pictures = [track for track in tracks if _handler(track) == b"vide"]
    sounds = [track for track in tracks if _handler(track) == b"soun"]
    if len(pictures) != 1 or len(sounds) != 1 or len(tracks) > 2:  # the duration is that of the longest track
        return None
    timescale, duration = _times(dict(_children(header))[b"mvhd"])
    entry, num_samples = _samples(pictures[0])
    media_timescale, media_duration = _times(_inside(pictures[0][b"mdia"], b"mdhd"))
    width, height = unpack_from(">HH", entry, 32)
    audio_entry = _samples(sounds[0])[0]
    audio_codec = AUDIO_CODECS[bytes(audio_entry[4:8])]
    sound_timescale, sound_duration = _times(_inside(sounds[0][b"mdia"], b"mdhd"))
    longest_s = max(media_duration / media_timescale, sound_duration / sound_timescale)
    is_sane = duration and width and height and longest_s < MAX_DURATION_S and abs(duration / timescale - longest_s) < 1
    if not is_sane or (audio_codec == "aac" and not _AAC.search(audio_entry)):
        return None
    return MediaInfo(
        duration_ms=round(duration * 1000 / timescale),
        width=width,
        height=height,
        fps=round(num_samples * media_timescale / media_duration, 2),
        video_codec=VIDEO_CODECS[bytes(entry[4:8])],
        audio_codec=audio_codec,
    )


def _children(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """(kind, content) of the boxes in a box."""
    position = 0
    while position < len(content):
        length, kind = unpack_from(">I4s", content, position)
        if length < 8 or position + length > len(content):
            raise LookupError(kind)
        yield kind, content[position + 8 : position + length]
        position += length


def _inside(content: memoryview, *path: bytes) -> memoryview:
    for kind in path:
        content = dict(_children(content))[kind]
    return content


def _handler(track: dict[bytes, memoryview]) -> bytes:
    return bytes(_inside(track[b"mdia"], b"hdlr")[8:12])


def _times(box: memoryview) -> tuple[int, int]:
    """Timescale and duration of an mvhd or mdhd box."""
    found: tuple[int, int] = unpack_from(">IQ" if box[0] == 1 else ">II", box, 20 if box[0] == 1 else 12)
    return found


def _samples(track: dict[bytes, memoryview]) -> tuple[memoryview, int]:
    """The first sample description and the number of samples."""
    table = dict(_children(_inside(track[b"mdia"], b"minf", b"stbl")))
    return table[b"stsd"][8:], unpack_from(">I", table[b"stsz"], 8)[0]
