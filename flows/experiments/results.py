"""Results of an experiment as JSON and CSV, each whole or absent, and as tables for a terminal."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from typing import Any

import pandas as pd

from datasets.files import join_path, write_bytes, write_json
from datasets.outside_text import make_csv
from datasets.settings import recipe_of
from flows.experiments.measure import TableResult
from flows.experiments.paper import TITLES, PaperRow
from model.ranks import ARROWS, DIRECTIONS, RECALL_AT

_NAMES = [f"R@{k}" for k in RECALL_AT]
Row = dict[str, Any]


def write_results(out: str, name: str, document: Row) -> None:
    """Write OUT/NAME.json and OUT/NAME.csv.

    Args:
        out: folder or fsspec URL.
        name: of the experiment.
        document: of `make_document`.
    """
    write_json(join_path(out, f"{name}.json"), document)
    lines = [line for table in document["tables"] for line in _csv_lines(table)]
    columns = list(dict.fromkeys(column for line in lines for column in line))
    write_bytes(join_path(out, f"{name}.csv"), make_csv(columns, lines))


def make_document(experiment: str, results: list[TableResult], evaluate: Row, code_version: str) -> Row:
    """Everything about a run of an experiment as JSON can hold it; recalls as fractions, but the paper's in percent."""
    tables = []
    for result in results:
        # The paper's rows, then those of one's own.
        known = {row.name for row in result.paper}
        own = [name for name in (*result.measured, *result.lacking) if name not in known]
        rows = []
        for row in (*result.paper, *(PaperRow(name, "ours", name, {}, "") for name in own)):
            measured = result.measured.get(row.name)
            ours: Row = measured.report if measured else {}
            if row.kind == "chance" and result.chance:
                ours = {d: {"num_queries": result.num_queries, "metrics": result.chance} for d in DIRECTIONS}
            rows.append({
                "row": row.name,
                "kind": row.kind,
                "title": row.title,
                "paper": {**row.recalls, "source": row.source} if row.recalls else None,
                "ours": ours or None,
                "model": measured.model if measured else None,
                "lacking": result.lacking.get(row.name),
            })  # fmt: skip
        differences = []
        for one in result.comparisons:
            gains = {k: {**asdict(d), "larger_than_noise": d.is_larger_than_noise} for k, d in one.gains.items()}
            names = {"first": one.first, "second": one.second, "direction": one.direction}
            differences.append({**names, "gains": gains})
        tables.append({
            "table": result.table,
            "test_on": result.test_on,
            "split": result.split,
            "digests": result.digests,
            "num_queries": result.num_queries,
            "note": result.note,
            "rows": rows,
            "differences": differences,
        })  # fmt: skip
    return {"experiment": experiment, "code_version": code_version, "evaluate": evaluate, "tables": tables}


def _csv_lines(table: Row) -> Iterator[Row]:
    """A line a row and direction; the data's digests as one."""
    previous = None
    for row in table["rows"]:
        for direction in DIRECTIONS:
            ours = (row["ours"] or {}).get(direction, {})
            line = {"table": table["table"], "row": row["row"], "title": row["title"], "direction": direction}
            line |= {"num_queries": ours.get("num_queries")}
            for name in _NAMES:
                low, high = ours.get("interval", {}).get(name, (None, None))
                line |= {name: ours.get("metrics", {}).get(name), f"{name} low": low, f"{name} high": high}
            line["MedR"] = ours.get("metrics", {}).get("MedR")
            line |= {f"{name} paper, percent": (row["paper"] or {}).get(direction, {}).get(name) for name in _NAMES}
            # The difference to the measured row before it; the JSON has every two rows.
            for one in table["differences"]:
                if (one["first"], one["second"], one["direction"]) == (previous, row["row"], direction):
                    line["compared_with"] = previous
                    for name, gain in one["gains"].items():
                        line |= {f"{name} gain": gain["mean"], f"{name} gain low": gain["low"]}
                        line |= {
                            f"{name} gain high": gain["high"],
                            f"{name} larger than noise": gain["larger_than_noise"],
                        }
                    break
            line |= {"checkpoint_sha256": (row["model"] or {}).get("sha256"), "lacking": row["lacking"]}
            yield {**line, "data_digest": recipe_of(table["digests"]) if ours else None}
        previous = row["row"] if row["model"] else previous


def to_frames(document: Row) -> dict[str, pd.DataFrame]:
    """Tables for a terminal of 80 columns, by title: recalls in percent beside the paper's, and gains between rows."""
    frames: dict[str, pd.DataFrame] = {}
    interval = f"{100 * document['evaluate']['confidence']:g} %"
    for table in document["tables"]:
        queries = f"{table['num_queries']:,} queries of {table['test_on']}" if table["num_queries"] else "not measured"
        rows = []
        for row, (direction, arrow) in product(table["rows"], ARROWS.items()):
            ours, paper = (row["ours"] or {}).get(direction, {}), (row["paper"] or {}).get(direction)
            digits = 2 if paper and paper["R@1"] < 0.1 else 1
            low, high = ours.get("interval", {}).get(_NAMES[-1], (None, None))
            rows.append({
                "row": row["title"] if direction == DIRECTIONS[0] else "",
                "": arrow,
                "R@1/5/10": "/".join(f"{100 * ours['metrics'][name]:.1f}" for name in _NAMES) if ours else "",
                f"{interval} R@10": "" if low is None else f"{100 * low:.1f}–{100 * high:.1f}",
                "paper": "/".join(f"{paper[name]:.{digits}f}" for name in _NAMES) if paper else "",
            })  # fmt: skip
        frames[f"{TITLES[table['table']]}: {queries}"] = pd.DataFrame(rows)
        if table["differences"]:
            title = f"Gain between rows of {table['table']}, paired bootstrap; * is larger than noise"
            gains = []
            for one in table["differences"]:
                shown: Row = {"from": one["first"], "to": one["second"], " ": ARROWS[one["direction"]]}
                for name, gain in one["gains"].items():
                    shown[name] = f"{100 * gain['mean']:+.1f} {'*' if gain['larger_than_noise'] else ' '}"
                last = one["gains"][_NAMES[-1]]
                shown[f"{interval} R@10"] = f"{100 * last['low']:+.1f} to {100 * last['high']:+.1f}"
                gains.append(shown)
            frames[title] = pd.DataFrame(gains)
    return frames


def list_lacking(document: Row) -> list[str]:
    """One line for each row that was not measured, and for each table that has fewer queries than the protocol."""
    lines = [f"{table['table']}: {table['note']}" for table in document["tables"] if table["note"]]
    return lines + [
        f"{row['title']} ({table['table']}) not measured: {row['lacking']}"
        for table in document["tables"]
        for row in table["rows"]
        if row["lacking"]
    ]
