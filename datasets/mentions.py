"""Does any file still name one of some ids? Decoded and unpacked where that can be done, said where it cannot."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BLOCK = 1 << 20
_MOST_UNPACKED = 4 << 30
_DEEPEST = 4
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda stream: pa.CompressedInputStream(pa.BufferReader(stream.read()), "zstd"),
}
_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"
# Formats that pack what they hold, and that nothing here can unpack.
_OPAQUE = (b"7z\xbc\xaf", b"Rar!", b"\x04\x22\x4d\x18", b"%PDF", b"\x89HDF", b"ORC", b"Obj\x01", b"ARROW1")
# Media of a store are read at both ends alone, where containers keep their texts: a root may hold terabytes of them.
_MEDIA_SUFFIXES = (".mp4", ".m4a", ".webm", ".mkv", ".ts")
_MEDIA_STARTS = ((4, b"ftyp"), (4, b"styp"), (4, b"moov"), (4, b"moof"), (0, b"\x1a\x45\xdf\xa3"), (0, b"\x47"))
_ARE_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Mentions:
    """What a search found; paths as they are shown to people."""

    named: tuple[str, ...]
    """Files whose name or content holds an id."""
    unsearched: tuple[str, ...]
    """Files that could not be searched to their end, each with why."""


class _CannotSearch(Exception):
    """Says why."""


def find_mentions(folder: str | Path, identifiers: Collection[str], leave_out: Collection[str] = ()) -> Mentions:
    """Search every file below a folder for ids, in any Unicode encoding, compressed or not; Parquet is decoded.

    Args:
        folder: a local folder, or one file; links in it are not followed.
        identifiers: plain ids, which are ASCII.
        leave_out: names of files, below the folder, that are not looked at.

    Returns:
        Paths below the folder. A file that cannot be read, or unpacked to its end, is never passed over in silence.
    """
    named, unsearched = [], []
    start = Path(folder)
    for path in [start] if start.is_file() else sorted(start.rglob("*")):
        name = path.relative_to(start).as_posix()
        if name in leave_out:
            continue
        if any(identifier in name for identifier in identifiers):
            named.append(name)
            continue
        try:
            if _holds_any(path, identifiers):
                named.append(name)
        except (_CannotSearch, *_UNREADABLE) as error:
            unsearched.append(f"{name}: {str(error)[:200] or type(error).__name__}")
    return Mentions(tuple(named), tuple(unsearched))


def _holds_any(path: Path, identifiers: Collection[str]) -> bool:
    if path.is_symlink():
        raise _CannotSearch("a link, not followed")
    if not path.is_file():  # a folder, a pipe or a socket, which keep nothing
        return False
    needles = [identifier.encode(encoding) for identifier in identifiers for encoding in _ENCODINGS]
    with path.open("rb") as file:
        head = file.peek(16)
        if path.suffix in _MEDIA_SUFFIXES and any(head[at : at + len(by)] == by for at, by in _MEDIA_STARTS):
            ends = file.read(_BLOCK)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _BLOCK))
            ends += file.read()
            return any(needle in ends for needle in needles)
        if _stream_holds(file, needles):
            return True
        file.seek(0)
        if head.startswith(_PARQUET) or path.suffix == ".parquet":
            shard = pq.ParquetFile(file)
            groups = (shard.read_row_group(group, use_threads=False) for group in range(shard.num_row_groups))
            chunks = (chunk for group in groups for column in group.columns for chunk in column.chunks)
            return any(
                pc.any(pc.match_substring(texts, identifier)).as_py()
                for chunk in chunks
                for texts in _texts_in(chunk)
                for identifier in identifiers
            )
        if head.startswith(_OPAQUE):
            raise _CannotSearch("packed in a way that cannot be unpacked here")
        return _unpacked_holds(file, needles, depth=0)


def _stream_holds(stream: IO[bytes], needles: list[bytes]) -> bool:
    """Whether the bytes hold a needle, read block by block; blocks overlap by the longest needle."""
    kept, num_bytes, longest = b"", 0, max(map(len, needles), default=1)
    while block := stream.read(_BLOCK):
        num_bytes += len(block)
        if any(needle in kept + block for needle in needles):
            return True
        if num_bytes > _MOST_UNPACKED and not isinstance(stream, io.BufferedReader):
            raise _CannotSearch(f"more than {_MOST_UNPACKED >> 30} GiB when unpacked")
        kept = (kept + block)[-longest:]
    return False


def _unpacked_holds(stream: IO[bytes], needles: list[bytes], depth: int) -> bool:
    """Whether what a compressed stream or an archive holds does, archives within archives too."""
    head = stream.read(16)
    stream.seek(0)
    if not head.startswith((_ZIP, *_OPENERS)):
        return False
    if depth == _DEEPEST:
        raise _CannotSearch(f"packed more than {_DEEPEST} times")

    def open_again() -> Any:
        stream.seek(0)
        return next(opener for magic, opener in _OPENERS.items() if head.startswith(magic))(stream)

    with ExitStack() as stack:
        # For each thing in it, what opens that from its beginning.
        openers: list[Callable[[], Any]] = [open_again]
        if head.startswith(_ZIP):
            archive = stack.enter_context(zipfile.ZipFile(stream))
            openers = [partial(archive.open, member) for member in archive.infolist()]
        for opened in openers:
            with opened() as unpacked:
                if _stream_holds(unpacked, needles):
                    return True
            with opened() as unpacked:
                inner = unpacked.read(16)
            if inner.startswith((_ZIP, *_OPENERS)):
                with opened() as unpacked:
                    content = unpacked.read(_MOST_UNPACKED >> 4)
                if _unpacked_holds(io.BytesIO(content), needles, depth + 1):
                    return True
    return False


def _texts_in(array: pa.Array) -> Iterator[pa.Array]:
    """Every text and every run of bytes in a column, however deep."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _texts_in(array.dictionary)
    elif pa.types.is_struct(kind):
        yield from (texts for child in array.flatten() for texts in _texts_in(child))
    elif pa.types.is_map(kind):
        yield from _texts_in(array.keys)
        yield from _texts_in(array.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _texts_in(array.flatten())
    elif any(is_text(kind) for is_text in _ARE_TEXT):
        yield array
