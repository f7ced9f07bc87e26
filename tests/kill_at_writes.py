"""Kill a piece of work at each of its writes, without a process of its own.

An audit hook sees every file that Python opens to write, renames or deletes, and every folder that is made or removed.
From the nth of them on all fail, those of `except` and `finally` too, as if the process had been killed there.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class Killed(BaseException):
    """Nothing catches it but the test."""


class _Watch:
    folder: str | None = None
    writes_left = 0


_INSTALLED: list[bool] = []
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def kill_at_each_write(
    prepare: Callable[[], Path], work: Callable[[Path], Any], first: int = 1, step: int = 1
) -> Iterator[tuple[int, Path]]:
    """(n, folder) for n = `first` and every `step`-th: a folder of `prepare`, `work` killed there at its nth write.

    Ends when `work` came to its end; the caller looks at the folder between two.
    """
    if not _INSTALLED:
        sys.addaudithook(_look)  # stays for the life of the process, and sees nothing while no folder is watched
        _INSTALLED.append(True)
    for point in range(first, 1_000, step):
        folder = prepare()
        _Watch.folder, _Watch.writes_left = str(folder), point
        try:
            work(folder)
            return
        except Killed:
            pass
        finally:
            _Watch.folder = None
        yield point, folder
    raise AssertionError("the work has no end")


def _look(event: str, args: tuple[Any, ...]) -> None:
    if _Watch.folder is None or not _is_write(event, args):
        return
    _Watch.writes_left -= 1
    if _Watch.writes_left <= 0:
        raise Killed


def _is_write(event: str, args: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(args[0], str) and args[0].startswith(_Watch.folder or "") and bool(args[2] & _WRITING)
    if event not in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        return False
    path = os.fspath(args[0])
    # A relative one is below the folder that rmtree has open.
    return isinstance(path, str) and (path.startswith(_Watch.folder or "") or not path.startswith("/"))
