"""Process-wide settings that must stand before Prefect is imported."""

import logging
import os
from typing import Any

from datasets.outside_text import make_visible

DEFAULTS = {
    # A cold temporary server has taken 80 s; Prefect's own 20 s end in a failed first run.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    # The commands print their own progress; Prefect's line per task would bury it.
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}


class VisibleRecord(logging.LogRecord):
    """A record of which a terminal or a page shows every character: much of what is logged was written by strangers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0]:
            self.exc_text = make_visible(logging.Formatter().formatException(self.exc_info), kept="\n")

    def getMessage(self) -> str:
        """One line, whatever it tells."""
        return make_visible(super().getMessage())


def prepare_environment() -> None:
    """Set what the environment does not set already, and how whatever is logged in this process looks."""
    logging.setLogRecordFactory(VisibleRecord)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
