"""Kill a piece of work at each of its writes, without a process of its own.

An audit hook sees every file that Python opens to write, renames or deletes, and every folder that is made or removed.
Before each of them the folder is copied as it lies there, if anything changed since the last copy: what a process that
is killed at this write leaves. So the work is done once, however many its writes.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class _Watch:
    folder: Path | None = None
    copies: list[Path] = []  # noqa: RUF012 - one for the process, as the hook is
    seen: frozenset[tuple[str, int, int]] | None = None


_INSTALLED: list[bool] = []
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def kill_at_each_write(
    prepare: Callable[[], Path], work: Callable[[Path], Any], first: int = 1
) -> Iterator[tuple[int, Path]]:
    """(n, folder) for every n from `first`: the folder of `prepare` as `work` leaves it, killed at its nth change."""
    if not _INSTALLED:
        sys.addaudithook(_look)  # stays for the life of the process, and sees nothing while no folder is watched
        _INSTALLED.append(True)
    folder = prepare()
    _Watch.folder, _Watch.copies, _Watch.seen = folder, [], None
    try:
        work(folder)
    finally:
        _Watch.folder = None
    yield from list(enumerate(_Watch.copies, start=1))[first - 1 :]


def _look(event: str, args: tuple[Any, ...]) -> None:
    folder = _Watch.folder
    if folder is None or not _is_write(event, args, str(folder)):
        return
    found = [(str(path), path.lstat()) for path in folder.rglob("*")]
    seen = frozenset((path, stat.st_size, stat.st_mtime_ns) for path, stat in found)
    if seen != _Watch.seen:
        _Watch.folder = None  # what the copying writes is not the work's
        _Watch.copies.append(shutil.copytree(folder, folder.with_name(f"{folder.name}-at-{len(_Watch.copies) + 1}")))
        _Watch.folder, _Watch.seen = folder, seen


def _is_write(event: str, args: tuple[Any, ...], folder: str) -> bool:
    if event == "open":
        return isinstance(args[0], str) and args[0].startswith(f"{folder}/") and bool(args[2] & _WRITING)
    if event not in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        return False
    path = os.fspath(args[0])
    # A relative one is below the folder that rmtree has open.
    return isinstance(path, str) and (path.startswith(f"{folder}/") or not path.startswith("/"))
