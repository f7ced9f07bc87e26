"""The ground floor: what a table is, how it is read and written, splits, queries and releases. No media, no torch."""

import os

SILENCE = {
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "none",  # Ray tells its makers of each cluster whose statistics are switched off
}
"""What keeps libraries from telling their makers of each use, by the variables that they look at when they are loaded.

Here, since whatever uses one of them has imported something of this floor before, in a command or in a notebook.
"""
for _name, _value in SILENCE.items():
    os.environ.setdefault(_name, _value)
