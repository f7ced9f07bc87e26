"""Two roots side by side: settings, counts, reasons, clips gained and lost, retrieval."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from datasets.schemas import TABLES
from datasets.tables import read_ok, read_run, read_table
from flows.status import read_failures, read_funnel, read_retrieval

_MOST_NAMED = 5
_MEASURES = ("R@1", "R@5", "R@10", "MedR")
# Where a root lies and when it runs is not what made its tables.
_ELSEWHERE = frozenset({"root", "run", "schedules"})


def compare_roots(a: str, b: str) -> dict[str, pd.DataFrame]:
    """Tables of what differs between two roots; of counts and retrieval, also what is equal."""
    lost = _side_by_side(read_failures(a), read_failures(b), ["table", "status", "reason"], ["items"])
    lost = lost.fillna({"items A": 0, "items B": 0})
    lost["items B-A"] = lost["items B"] - lost["items A"]
    return {
        "settings": compare_settings(a, b),
        "funnel": _side_by_side(read_funnel(a), read_funnel(b), ["stage"], ["items"]),
        "not_ok": lost[lost["items B-A"] != 0],
        "clips": compare_clips(a, b),
        "retrieval": _side_by_side(read_retrieval(a), read_retrieval(b), ["split", "direction"], list(_MEASURES)),
    }


def compare_settings(a: str, b: str) -> pd.DataFrame:
    """Settings that the two roots' tables were made with and that differ, and the code's versions."""
    first, second = read_settings(a), read_settings(b)
    names = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    rows = [(name, *(json.dumps(known.get(name), ensure_ascii=False) for known in (first, second))) for name in names]
    return pd.DataFrame(rows, columns=["setting", "A", "B"])


def fold_difference(retrieval: pd.DataFrame) -> pd.DataFrame:
    """Retrieval of both for a terminal: a row a measure."""
    rows = [
        (row["split"], row["direction"].replace("_", " "), measure, *(row[f"{measure} {x}"] for x in ("A", "B", "B-A")))
        for row in retrieval.to_dict("records")
        for measure in _MEASURES
    ]
    return pd.DataFrame(rows, columns=["split", "direction", "measure", "A", "B", "B-A"])


def read_settings(root: str) -> dict[str, Any]:
    """stage.field to the value that the newest run of a root recorded, with the version of its code."""
    runs = [run for name in TABLES if (run := read_run(root, name)) and run.get("config")]
    newest: dict[str, Any] = max(runs, key=lambda run: str(run.get("recorded_at", "")), default={"config": {}})
    settings = _flatten({name: v for name, v in newest["config"].items() if name not in _ELSEWHERE})
    return {**settings, "code version": newest.get("code_version")}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def compare_clips(a: str, b: str) -> pd.DataFrame:
    """How many clips both roots keep, which only one does, and which lie in another split."""
    kept = [set(read_ok(root, "clips", ["clip_id"])["clip_id"].to_pylist()) for root in (a, b)]
    splits = [read_table(root, "splits", ["clip_id", "split"]) for root in (a, b)]
    moved = splits[0].join(splits[1], keys="clip_id", right_suffix=" of B", join_type="inner")
    moved = moved.filter(pc.not_equal(moved["split"], moved["split of B"]))
    rows = [
        ("in both", kept[0] & kept[1]),
        ("lost: only in A", kept[0] - kept[1]),
        ("gained: only in B", kept[1] - kept[0]),
        ("in another split", set(moved["clip_id"].to_pylist())),
    ]
    return pd.DataFrame(
        [(what, len(ids), ", ".join(sorted(ids)[:_MOST_NAMED]) if what != "in both" else "") for what, ids in rows],
        columns=["clips", "items", "the first of them"],
    )


def _side_by_side(a: pd.DataFrame, b: pd.DataFrame, keys: list[str], values: list[str]) -> pd.DataFrame:
    """Rows of both by their keys, in A's order and then B's; each value of A, of B, and what B has more."""
    # As objects: pandas 3 joins no column of text that is empty.
    a, b = (frame.astype(dict.fromkeys(keys, object))[[*keys, *values]] for frame in (a, b))
    order = pd.concat([a[keys], b[keys]]).drop_duplicates()
    both = order.merge(a, on=keys, how="left").merge(b, on=keys, how="left", suffixes=(" A", " B"))
    for value in values:
        both[f"{value} B-A"] = both[f"{value} B"] - both[f"{value} A"]
    return both
