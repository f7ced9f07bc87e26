"""What this process does to the world outside, by Python's audit events: connections, names looked up, files written.

What a library does in C++ raises no event. Python processes that this one starts tell of their connections themselves
(`watched/sitecustomize.py`); others are not seen, nor any with an environment that has neither variable below.
"""

import atexit
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Seen:
    """What happened while it was watched."""

    connections: list[tuple[str, int]] = field(default_factory=list)
    """Host and port of each connection over a network."""
    names: list[str] = field(default_factory=list)
    """Hosts whose address was asked for."""
    written: list[str] = field(default_factory=list)
    """Files opened to be written."""
    thread: int | None = None
    """The one thread that is watched; all when not given."""


_watchers: list[Seen] = []  # an audit hook stays for good; it looks here for whom to tell


def _tell(event: str, args: tuple[Any, ...]) -> None:
    for seen in _watchers:
        if seen.thread not in (None, threading.get_ident()):
            continue
        if event == "socket.connect" and isinstance(args[1], tuple):  # a path or bytes: of this machine, no network
            seen.connections.append((str(args[1][0]), int(args[1][1])))
        elif event == "socket.getaddrinfo":
            seen.names.append(str(args[0]))
        elif event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            seen.written.append(os.fsdecode(args[0]) if isinstance(args[0], str | bytes) else str(args[0]))


sys.addaudithook(_tell)
# From the first import on: a process that is started before a block may be used within it.
_told_by_children = tempfile.NamedTemporaryFile("r", prefix="connections")  # noqa: SIM115 - as long as this process
atexit.register(_told_by_children.close)  # the hook keeps this module to the end, when nobody deletes what it holds
os.environ["WATCHED_CONNECTIONS"] = _told_by_children.name
_WATCHED = str(Path(__file__).parent / "watched")
sys.path.append(_WATCHED)  # those that ask the site are given this process's path
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), _WATCHED]))


@contextmanager
def watch(thread: int | None = None) -> Iterator[Seen]:
    """Watch this process until the block ends, all of its threads or the one given."""
    seen = Seen(thread=thread)
    _told_by_children.seek(0, os.SEEK_END)
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)
        if thread is None:
            for host, port in (line.rsplit(" ", 1) for line in _told_by_children.read().splitlines()):
                if port == "-":
                    seen.names.append(host)
                else:
                    seen.connections.append((host, int(port)))
