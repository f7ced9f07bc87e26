"""Streams of which a file says nothing at its beginning: MPEG-TS, program streams and FLV name them when they come.

libavformat looks at the first seconds. Where it has found no sound or no picture there, the file is read through once;
if another stream appears, the file is opened again, and all of it looked at. Which library reads is not known.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets.containers import SAFETY

_NAMED_LATE = frozenset({"mpegts", "mpeg", "flv"})
_MOST_BYTES = 1 << 30
"""What is looked at is held in memory: a stream that first appears later is not found."""
Open = Callable[[str, Mapping[str, str]], Any]


def options_for_late_streams(container: Any, open_file: Open) -> Mapping[str, str] | None:
    """Options with which a file must be opened again; None where it has shown all that it holds, as nearly always.

    Args:
        container: an open media file.
        open_file: opens the file of a name with options of libavformat.
    """
    if container.format.name not in _NAMED_LATE or (container.streams.video and container.streams.audio):
        return None
    path = container.name.removeprefix("file:")
    status = Path(path).stat()
    if not _has_late_streams(path, status.st_size, status.st_mtime_ns, open_file):
        return None
    num_bytes = min(status.st_size, _MOST_BYTES)
    return {**SAFETY, "probesize": str(num_bytes), "analyzeduration": str(10**12)}


@lru_cache(maxsize=256)
def _has_late_streams(path: str, _size: int, _changed: int, open_file: Open) -> bool:
    with open_file(path, SAFETY) as container:
        try:
            for _ in container.demux():
                pass
        except IndexError:  # PyAV's sign: at the end it looks for streams that it has not met
            return True
        except (OSError, ValueError):  # among them those of libav: the file breaks off
            return False
        return False
