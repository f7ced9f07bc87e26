"""Figures of the releases, and whether a change from one to the next is more than noise."""

import math
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from datasets.releases.layout import version_key
from datasets.tables import read_parts
from model.ranks import RECALL_AT

_WORKING = "working-"  # what the release of an evaluation begins with that was made of the working tables


def read_release_figures(root: str) -> pd.DataFrame:
    """Recall of every release in percent, and whether it differs from the release before by more than noise.

    Returns:
        A row a recipe, direction and release, in the order of versions: recipe, direction, release, queries, and for
        each k `R@k`, `low@k`, `high@k`, and `change@k`: "", "+1.2, within noise" or "+9.9, more than noise".
    """
    # Of every recipe, which `read_table` would not give.
    parts = read_parts(root, "evaluations", None, lambda paths: [pq.ParquetFile(path).read() for path in paths])
    rows = [row for part in parts for row in part.to_pylist()]
    measured = [row for row in rows if not row["release"].startswith(_WORKING)]
    ordered = sorted(measured, key=lambda row: (row["recipe"], row["direction"], version_key(row["release"])))
    figures: list[dict[str, Any]] = []
    for row, before in zip(ordered, [None, *ordered], strict=False):
        is_next = before is not None and all(row[name] == before[name] for name in ("recipe", "direction"))
        figure = {name: row[name] for name in ("recipe", "direction", "release")} | {"queries": row["num_queries"]}
        for k in RECALL_AT:
            name = f"recall_at_{k}"
            figure |= {f"R@{k}": _percent(row[name])}
            figure |= {f"{end}@{k}": _percent(row[f"{name}_{end}"]) for end in ("low", "high")}
            figure[f"change@{k}"] = describe_change(before, row, name) if before is not None and is_next else ""
        figures.append(figure)
    columns = [f"{name}@{k}" for k in RECALL_AT for name in ("R", "low", "high", "change")]
    return pd.DataFrame(figures, columns=["recipe", "direction", "release", "queries", *columns])


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def describe_change(before: dict[str, Any], after: dict[str, Any], name: str) -> str:
    """A change of recall in points of percent, with the verdict.

    Noise is the half-widths of the two intervals, added as independent: the queries of two releases are not the same.
    The luck of one training is not in it, so a change that is barely more than noise is worth another seed.
    """
    change = 100 * (after[name] - before[name])
    halves = [row[f"{name}_{end}"] for row in (before, after) for end in ("low", "high")]
    if any(half is None for half in halves):
        return f"{change:+.1f}"
    noise = 100 * math.hypot((halves[1] - halves[0]) / 2, (halves[3] - halves[2]) / 2)
    return f"{change:+.1f}, {'more than' if abs(change) > noise else 'within'} noise (±{noise:.1f})"
