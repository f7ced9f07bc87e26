"""Process-wide settings that must stand before Prefect is imported."""

import os

DEFAULTS = {
    # A cold temporary server has taken 80 s; Prefect's own 20 s end in a failed first run.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The commands print their own progress; Prefect's line per task would bury it.
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}


def prepare_environment() -> None:
    """Set what the environment does not set already."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
