"""Does any file still name one of some ids? Decoded and unpacked where that can be done, said where it cannot."""

import bz2
import gzip
import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BLOCK = 1 << 20
_MOST_UNPACKED, _MOST_IN_MEMORY = 4 << 30, 64 << 20
_DEEPEST = 4
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x5d\0\0": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda stream: pa.CompressedInputStream(pa.BufferReader(stream.read()), "zstd"),
}
_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"
# Formats that pack what they hold, and that nothing here can unpack: 7z, Rar, LZ4, PDF, HDF5, ORC, Avro, Arrow, Parquet
# that is encrypted, compress, Snappy, Zstandard and LZ4 behind a frame that is to be skipped, streams of zlib.
_OPAQUE = (
    *(b"7z\xbc\xaf", b"Rar!", b"\x04\x22\x4d\x18", b"%PDF", b"\x89HDF", b"ORC", b"Obj\x01", b"ARROW1", b"PARE"),
    *(b"\x1f\x9d", b"\xff\x06\0\0sNaPpY", *(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))),
    *(b"\x78" + level for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
)
_HEAD_BYTES, _TAR_AT, _TAR = 512, 257, b"ustar"
# Media of a store are read at both ends alone, where containers keep their texts: a root may hold terabytes of them.
_MEDIA_SUFFIXES = (".mp4", ".m4a", ".webm", ".mkv", ".ts")
_MEDIA_STARTS = ((4, b"ftyp"), (4, b"styp"), (4, b"moov"), (4, b"moof"), (0, b"\x1a\x45\xdf\xa3"), (188, b"\x47"))
_ARE_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_ARE_OTHER_TEXT = (pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
_UNREADABLE = (
    *(OSError, EOFError, ValueError, RuntimeError, LookupError, TypeError, MemoryError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, pa.ArrowException),
)


@dataclass(frozen=True)
class Mentions:
    """What a search found; paths as they are shown to people."""

    named: tuple[str, ...]
    """Files whose name or content holds an id."""
    unsearched: tuple[str, ...]
    """Files that could not be searched to their end, each with why; and how many media were searched in part."""


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
    named, unsearched, num_in_part = list[str](), list[str](), 0
    start = Path(folder)

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unsearched.append(f"{Path(error.filename).relative_to(start).as_posix()}: {error.strerror}")

    below = (Path(at) / name for at, folders, names in os.walk(start, onerror=refuse) for name in (*folders, *names))
    for path in [start] if start.is_file() else sorted(below):
        name = path.relative_to(start).as_posix()
        if name in leave_out:
            continue
        if any(identifier in name for identifier in identifiers):
            named.append(name)
            continue
        search = _Search(identifiers)
        try:
            if search.in_file(path):
                named.append(name)
            else:
                num_in_part += search.is_in_part
        except (_CannotSearch, *_UNREADABLE) as error:
            unsearched.append(f"{name}: {str(error)[:200] or type(error).__name__}")
    if num_in_part:
        unsearched.append(f"the middle of {num_in_part:,} media files; searched are the first MiB of each and the last")
    return Mentions(tuple(named), tuple(unsearched))


class _Search:
    """The search of one file for ids, with what it may unpack in all."""

    def __init__(self, identifiers: Collection[str]) -> None:
        self.is_in_part = False
        self._identifiers = identifiers
        self._needles = [identifier.encode(encoding) for identifier in identifiers for encoding in _ENCODINGS]
        self._num_left = _MOST_UNPACKED

    def in_file(self, path: Path) -> bool:
        """Whether a file holds an id."""
        if path.is_symlink():
            raise _CannotSearch("a link, not followed")
        if not path.is_file():  # a folder, a pipe or a socket, which keep nothing
            return False
        with path.open("rb") as file:
            head, size = file.peek(_HEAD_BYTES), os.fstat(file.fileno()).st_size
            if path.suffix in _MEDIA_SUFFIXES and any(head[at : at + len(by)] == by for at, by in _MEDIA_STARTS):
                self.is_in_part = size > 2 * _BLOCK
                ends = file.read(_BLOCK)
                file.seek(max(0, size - _BLOCK))
                ends += file.read()
                return any(needle in ends for needle in self._needles)
            return self._in_stream(file, 0, is_parquet=path.suffix == ".parquet")

    def _in_stream(self, stream: IO[bytes], depth: int, is_parquet: bool = False) -> bool:
        """Whether the bytes hold an id, or what is packed in them does, archives within archives too."""
        kept, longest = b"", max(map(len, self._needles), default=1)
        while block := stream.read(_BLOCK):  # blocks overlap by the longest needle
            if any(needle in kept + block for needle in self._needles):
                return True
            kept = (kept + block)[-longest:]
        stream.seek(0)
        head = stream.read(_HEAD_BYTES)
        stream.seek(0)
        if is_parquet or head.startswith(_PARQUET):
            return self._in_parquet(stream)
        if head.startswith(_OPAQUE):
            raise _CannotSearch("packed in a way that cannot be unpacked here")
        for part, lies_plain in _parts_of(stream, head):
            with part, tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY) as unpacked:
                begin = part.read(_HEAD_BYTES)
                if lies_plain and not _is_packed(begin):
                    continue
                if depth == _DEEPEST:
                    raise _CannotSearch(f"packed more than {_DEEPEST} times")
                block = begin
                while block:
                    self._num_left -= len(block)
                    if self._num_left < 0:
                        raise _CannotSearch(f"more than {_MOST_UNPACKED >> 30} GiB when unpacked")
                    unpacked.write(block)
                    block = part.read(_BLOCK)
                unpacked.seek(0)
                if self._in_stream(unpacked, depth + 1):
                    return True
        return False

    def _in_parquet(self, stream: IO[bytes]) -> bool:
        shard = pq.ParquetFile(stream)
        groups = (shard.read_row_group(group, use_threads=False) for group in range(shard.num_row_groups))
        return any(
            pc.any(pc.match_substring(texts, identifier)).as_py()
            for group in groups
            for column in group.columns
            for chunk in column.chunks
            for texts in _texts_in(chunk)
            for identifier in self._identifiers
        )


def _is_packed(head: bytes) -> bool:
    return head.startswith((_ZIP, _PARQUET, *_OPENERS, *_OPAQUE)) or head[_TAR_AT:].startswith(_TAR)


def _parts_of(stream: IO[bytes], head: bytes) -> Iterator[tuple[IO[bytes], bool]]:
    """What is packed in a stream, each to be read once, with whether its bytes lie in it as they are."""
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            yield opener(stream), False
            return
    if head[_TAR_AT:].startswith(_TAR):
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            parts = (tar.extractfile(member) for member in tar if member.isfile())
            yield from ((part, True) for part in parts if part is not None)
    elif zipfile.is_zipfile(stream) or head.startswith(_ZIP):  # one that unpacks itself begins as a program
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                yield archive.open(member), member.compress_type == zipfile.ZIP_STORED


def _texts_in(array: pa.Array) -> Iterator[pa.Array]:
    """Every text and every run of bytes in a column, however deep."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _texts_in(array.storage)
    elif pa.types.is_dictionary(kind):
        yield from _texts_in(array.dictionary)
    elif pa.types.is_struct(kind):
        yield from (texts for child in array.flatten() for texts in _texts_in(child))
    elif pa.types.is_map(kind):
        yield from _texts_in(array.keys)
        yield from _texts_in(array.items)
    elif pa.types.is_union(kind) or pa.types.is_run_end_encoded(kind):
        raise _CannotSearch(f"a column of {kind}")
    elif pa.types.is_nested(kind):
        yield from _texts_in(array.flatten())
    elif any(is_text(kind) for is_text in _ARE_TEXT):
        yield array
    elif any(is_text(kind) for is_text in _ARE_OTHER_TEXT):
        yield array.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary())
