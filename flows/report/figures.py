"""Figures of the page that are tables: clip lengths, hours by split, provenance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from datasets.schemas import TABLES
from datasets.tables import read_run

_BIN_WIDTHS_MS = (1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 3_600_000)
_MAX_BINS = 20
_MS_PER_HOUR = 3_600_000

# Written for the person who reads the page; the codes are `datasets.outcomes.Policy`.
POLICY_MEANING = {
    "never": "stays as it is; another try would end the same way",
    "later": "may pass: done again when --retry names the reason, or with --retry transient",
    "person": "needs a person: its rows say in `detail` what happened; done again when --retry names the reason",
}


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram."""

    start_ms: int
    end_ms: int
    count: int


def count_lengths(lengths_ms: "pd.Series[int]") -> list[Bar]:
    """A histogram of at most 20 bars of a round width; each holds [start_ms, end_ms), the last its end as well."""
    if lengths_ms.empty:
        return []
    low, high = int(lengths_ms.min()), int(lengths_ms.max())
    width = next((w for w in _BIN_WIDTHS_MS if high - low <= (_MAX_BINS - 2) * w), _BIN_WIDTHS_MS[-1])
    first = low // width * width
    edges = np.arange(first, max(-(-high // width) * width, first + width) + 1, width)
    counts, _ = np.histogram(lengths_ms, bins=edges)
    return [Bar(int(a), int(b), int(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False)]


def sum_splits(clips: pd.DataFrame) -> pd.DataFrame:
    """Videos, clips, hours and mean length by split; clips that are in none come last.

    Args:
        clips: kept clips with columns video_id, length_ms and split (empty text for none).
    """
    names = {"train": "train", "val": "val", "test": "test", "": "in no split"}
    rows: list[dict[str, Any]] = []
    for split, name in names.items():
        chosen = clips[clips["split"] == split]
        if split or len(chosen):
            total_ms = int(chosen["length_ms"].sum())
            mean_s = total_ms / len(chosen) / 1000 if len(chosen) else None
            rows.append(
                {
                    "split": name,
                    "videos": int(chosen["video_id"].nunique()),
                    "clips": len(chosen),
                    "hours": total_ms / _MS_PER_HOUR,
                    "mean s": mean_s,
                }
            )
    return pd.DataFrame(rows, columns=["split", "videos", "clips", "hours", "mean s"])


def read_provenance(root: str) -> list[dict[str, Any]]:
    """What made the current rows of each table: recipe, code version, and the encoder of features."""
    runs = ((name, read_run(root, name)) for name in TABLES)
    return [
        {"table": name, "recipe": run["recipe"], "code": run.get("code_version"), "encoder": run.get("encoder")}
        for name, run in runs
        if run
    ]
