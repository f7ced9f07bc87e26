"""A channel that is served while it is rendered: who asks for a video that is not there yet waits for it.

The renderer holds a lock that ends with its process, so that nobody waits for one that was killed.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_FILE = ".rendering"
_POLL_S = 0.1


@contextmanager
def rendering(directory: Path) -> Iterator[None]:
    """Say that the videos of a channel are being rendered while the block runs.

    Raises:
        ValueError: another process renders there.
    """
    with (directory / _LOCK_FILE).open("a") as file:
        if not _take(file.fileno()):
            raise ValueError(f"--out {directory}: another process renders there; wait for it or name another folder")
        yield


def wait_for(path: Path, directory: Path) -> bool:
    """Wait until a file of the channel in `directory` is there; False: it is not, and nobody renders it."""
    while not path.is_file():
        with (directory / _LOCK_FILE).open("a") as file:
            if _take(file.fileno()):
                return path.is_file()  # again: it may have come, and the renderer gone, since the last look
        time.sleep(_POLL_S)
    return True


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
