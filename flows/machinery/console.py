"""Where the commands write: nothing that a stranger wrote is obeyed by the terminal."""

import os
import sys
from typing import Any, TextIO, cast

from datasets.outside_text import make_visible


class VisibleStream:
    """A text stream that writes what a terminal would obey as its escapes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream's own; lines and tabs stay."""
        return self._stream.write(make_visible(text, kept="\n\t"))

    def isatty(self) -> bool:
        """No: who asks would write colours, which a stranger's cannot be told from."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def show_everything() -> None:
    """From now on whatever this process prints, tracebacks too, goes through a `VisibleStream`."""
    # Words that would have rich and typer write colours where no terminal is.
    os.environ |= {"TTY_COMPATIBLE": "0", "_TYPER_FORCE_DISABLE_TERMINAL": "1"}
    sys.stdout, sys.stderr = cast(TextIO, VisibleStream(sys.stdout)), cast(TextIO, VisibleStream(sys.stderr))
