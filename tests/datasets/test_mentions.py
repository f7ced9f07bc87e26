"""Whatever a file is packed in, the id in it is found, or it is said that nobody looked."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets import mentions
from datasets.mentions import find_mentions

ID = "GLd3aX16zBg"
TEXT = f"https://example.org/watch?v={ID}\n"


def zipped(content, name="notes.txt", method=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def tarred(content, name="log"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def parquet(column):
    packed = io.BytesIO()
    pq.write_table(pa.table({"x": column}), packed, compression="zstd", write_statistics=False)
    return packed.getvalue()


MANY = [*("other" * 40 + str(i) for i in range(500)), ID]
NAMED = {
    "plain.txt": TEXT.encode(),
    "utf16.txt": TEXT.encode("utf-16"),
    "big_endian.txt": TEXT.encode("utf-16-be"),
    "utf32.txt": TEXT.encode("utf-32"),
    "no_suffix": TEXT.encode(),
    "log.gz": gzip.compress(TEXT.encode() * 50),
    "log.bz2": bz2.compress(TEXT.encode() * 50),
    "log.xz": lzma.compress(TEXT.encode() * 50),
    "log.zst": pa.compress(TEXT.encode() * 50, "zstd", asbytes=True),
    "gzip_of_utf16": gzip.compress(TEXT.encode("utf-16") * 50),
    "weights.npz": zipped(TEXT * 50),
    "stored.zip": zipped(TEXT, method=zipfile.ZIP_STORED),
    "zip_in_gzip.bin": gzip.compress(zipped(TEXT * 50)),
    "gzip_in_zip.zip": zipped(gzip.compress(TEXT.encode() * 50)),
    "text.mp4": TEXT.encode(),
    "tail.mp4": b"\0\0\0\x20ftypmp42" + bytes(3 << 20) + TEXT.encode(),
    "head.webm": b"\x1a\x45\xdf\xa3" + TEXT.encode() + bytes(3 << 20),
    "part.parquet": parquet(MANY),
    "no_parquet_suffix": parquet(MANY),
    "bytes.parquet": parquet([text.encode() for text in MANY]),
    "lists.parquet": parquet([[text] for text in MANY]),
    "structs.parquet": parquet([{"a": {"b": text}} for text in MANY]),
    "maps.parquet": parquet(pa.array([[(text, 1)] for text in MANY], pa.map_(pa.string(), pa.int64()))),
    "dictionary.parquet": parquet(pa.array(MANY).dictionary_encode()),
    "views.parquet": parquet(pa.array(MANY, pa.string_view())),
    "views_of_bytes.parquet": parquet(pa.array([text.encode() for text in MANY], pa.binary_view())),
    "bytes_of_one_length.parquet": parquet(pa.array([str(i).zfill(11).encode() for i in range(500)] + [ID.encode()],
                                                    pa.binary(11))),
    "json.parquet": parquet(pa.array([f'["{text}"]' for text in MANY], pa.json_())),
    "views_of_lists.parquet": parquet(pa.array([[text] for text in MANY], pa.list_view(pa.string()))),
    "log.lzma": lzma.compress(TEXT.encode() * 50, format=lzma.FORMAT_ALONE),
    "gzip_in_tar.tar": tarred(gzip.compress(TEXT.encode() * 50)),
    "gzip_in_tar_in_gzip.tgz": gzip.compress(tarred(gzip.compress(TEXT.encode() * 50))),
    "gzip_in_stored.zip": zipped(gzip.compress(TEXT.encode() * 50), method=zipfile.ZIP_STORED),
    "parquet_in_zip.zip": zipped(parquet(MANY)),
    "parquet_in_gzip.gz": gzip.compress(parquet(MANY)),
    "zip_behind_a_program": b"#!/bin/sh\n" + zipped(TEXT * 50),
    "text_like_media.ts": b"G" + bytes(3 << 20) + TEXT.encode() + bytes(3 << 20),
    "across_blocks.txt": bytes((1 << 20) - 5) + TEXT.encode(),
    f"{ID}.json": b"{}",
}  # fmt: skip
UNSEARCHED = {
    "truncated.parquet": parquet(MANY)[:900],
    "no.parquet": b"hello",
    "truncated.gz": gzip.compress(os.urandom(4000))[:2000],
    "truncated.zip": zipped(os.urandom(4000))[:2000],
    "archive.7z": b"7z\xbc\xaf\x27\x1c" + os.urandom(100),
    "paper.pdf": b"%PDF-1.7" + os.urandom(100),
    "sheet.h5": b"\x89HDF\r\n\x1a\n" + os.urandom(100),
    "pdf_in_gzip.gz": gzip.compress(b"%PDF-1.7" + os.urandom(100)),
    "pdf_in_tar.tar": tarred(b"%PDF-1.7" + os.urandom(100)),
    "encrypted.bin": b"PARE" + os.urandom(100),
    "log.Z": b"\x1f\x9d\x90" + os.urandom(100),
    "log.sz": b"\xff\x06\0\0sNaPpY" + os.urandom(100),
    "stream_of_zlib": zlib.compress(TEXT.encode() * 50),
    "skipped_frame.zst": b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + os.urandom(100),
    "bomb.gz": gzip.compress(bytes(1 << 22)),
}


@pytest.mark.parametrize("name", NAMED)
def test_an_id_is_found(tmp_path, name):
    (tmp_path / name).write_bytes(NAMED[name])
    found = find_mentions(tmp_path, {ID, "another-id-"})
    assert (found.named, found.unsearched) == ((name,), ())


@pytest.mark.parametrize("name", UNSEARCHED)
def test_what_cannot_be_searched_is_said(tmp_path, name, monkeypatch):
    monkeypatch.setattr(mentions, "_MOST_UNPACKED", 1 << 21)
    (tmp_path / name).write_bytes(UNSEARCHED[name])
    found = find_mentions(tmp_path, {ID})
    assert found.named == () and [line.partition(":")[0] for line in found.unsearched] == [name]


def test_links_are_said_and_pipes_are_not_waited_for(tmp_path):
    (tmp_path / "elsewhere").symlink_to("/")
    os.mkfifo(tmp_path / "pipe")
    assert find_mentions(tmp_path, {ID}).unsearched == ("elsewhere: a link, not followed",)


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)  # whoever is root may list everything
    assert find_mentions(tmp_path, {ID}).unsearched == ("closed: Permission denied",)


def test_files_without_the_id_are_neither_but_media_are_said_to_be_searched_in_part(tmp_path):
    for name, content in NAMED.items():
        (tmp_path / name.replace(ID, "other")).write_bytes(content)
    found = find_mentions(tmp_path, {"somebody-el"})
    said = ("the middle of 2 media files; searched are the first MiB of each and the last",)
    assert (found.named, found.unsearched) == ((), said)
    assert find_mentions(tmp_path / "nowhere", {"x"}) == mentions.Mentions((), ())
