"""Files of a root, a local folder or any fsspec URL: written whole or not at all."""

import errno
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import fsspec

_BLOCK = 1 << 20
_ONE_SLASH = re.compile(r"([a-z0-9]{2,}):/")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def no_room_is_of(path: str | Path) -> Iterator[None]:
    """Say which file found no room: the system names none, or the one that is copied from. Other errors stay."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            error.filename = str(path)
        raise


@contextmanager
def open_whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A local file to write, there when the block ends and not at all when it fails: temporary name, flush, rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with no_room_is_of(path), os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        Path(name).unlink()
        raise
    Path(name).chmod(0o644)
    Path(name).replace(path)


def name_folder(folder: Path, target: Path) -> None:
    """Give a finished folder its name, for good: until then nothing is there that looks like it."""
    folder.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_place(place: str) -> str:
    """Return what may name a folder, here or elsewhere; raises ValueError for nothing or an unknown address."""
    protocol, separator, _ = place.partition("://")
    if not place.strip():
        raise ValueError(f"a folder or an address is needed, got {place!r}")
    if separator and protocol not in fsspec.available_protocols():
        known = "s3://, gs://, hf://datasets/ and folders are"
        raise ValueError(f"no such kind of place as {protocol}://, but {known}, got {place!r}")
    if not separator and (found := _ONE_SLASH.match(place)) and not Path(found[0]).is_dir():
        raise ValueError(f"an address has two slashes: {found[1]}://{place[found.end() :]}, got {place!r}")
    return place


def join_path(place: str | Path, *names: str | Path) -> str:
    """A path below a folder or URL, which may end in a slash or not."""
    return "/".join(str(part).rstrip("/") for part in (place, *names))


def is_local(fs: Any) -> bool:
    """Whether an fsspec file system is this machine's."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def list_folder(fs: Any, folder: str) -> list[str]:
    """Paths of what a folder holds, in no order; none where there is no such folder.

    Of this machine's folders the system is asked, not fsspec, which takes ten times as long over a name.
    """
    try:
        if is_local(fs):
            with os.scandir(folder) as entries:
                return [entry.path for entry in entries]
        return [path for path in fs.ls(folder, detail=False) if path.rpartition("/")[0] == folder]
    except (FileNotFoundError, NotADirectoryError):
        return []


def describe_files(fs: Any, folder: str) -> dict[str, tuple[Any, ...]]:
    """What tells a file from the one that takes its place, of each path of `list_folder` that stays there meanwhile."""
    facts: dict[str, tuple[Any, ...]] = {}
    with suppress(FileNotFoundError):
        if not is_local(fs):
            names = ("size", "mtime", "created", "ETag")
            return {entry["name"]: tuple(map(entry.get, names)) for entry in fs.ls(folder, detail=True)}
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # a part that is merged away, a temporary name
                    stat = entry.stat()
                    facts[entry.path] = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return facts


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: `open_whole`; on object stores one PUT."""
    fs, local = fsspec.core.url_to_fs(str(path))
    if not is_local(fs):
        fs.pipe_file(local, data)
        return
    with open_whole(local) as file:
        file.write(data)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Content of a JSON file, or None if there is no such file."""
    fs, local = fsspec.core.url_to_fs(str(path))
    try:
        # One request: an object store's file is opened by two, and is another one when it was written in between.
        return json.loads(fs.cat_file(local))
    except (FileNotFoundError, NotADirectoryError):
        return None


def store_errors() -> tuple[type[Exception], ...]:
    """What reading and writing a place raises: OSError, and where a client of S3 or of the Hub is loaded its own."""
    clients = {"botocore.exceptions": "BotoCoreError", "huggingface_hub.errors": "HTTPError"}
    loaded = [(sys.modules[module], name) for module, name in clients.items() if module in sys.modules]
    return (OSError, *(getattr(module, name) for module, name in loaded))


def sha256_of(path: str | Path, fs: Any = None) -> str:
    """sha256 of a file in hexadecimal, read block by block.

    Args:
        path: a local path or fsspec URL; with `fs`, a path of that file system.
        fs: an fsspec file system.
    """
    if fs is None:
        fs, path = fsspec.core.url_to_fs(str(path))
    digest = hashlib.sha256()
    with fs.open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
