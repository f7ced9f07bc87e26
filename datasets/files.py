"""Files of a root, a local folder or any fsspec URL: written whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import fsspec


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: temporary name, flush, rename; on object stores one PUT."""
    fs, local = fsspec.core.url_to_fs(str(path))
    if "file" not in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
        fs.pipe_file(local, data)
        return
    folder = Path(local).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).chmod(0o644)
    Path(file.name).replace(local)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Content of a JSON file, or None if there is no such file."""
    fs, local = fsspec.core.url_to_fs(str(path))
    try:
        # One request: an object store's file is opened by two, and is another one when it was written in between.
        return json.loads(fs.cat_file(local))
    except FileNotFoundError:
        return None
