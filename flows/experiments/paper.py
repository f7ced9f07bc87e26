"""The figures the paper printed, from paper.csv beside this file."""

import csv
from dataclasses import dataclass
from pathlib import Path

FIGURES = Path(__file__).parent / "paper.csv"
TITLES = {
    "youcook_japanese": "YouCook-Japanese (the paper's Table 1)",
    "places_japanese": "Places Audio Captions, Japanese (Table 2)",
    "places_hindi": "Places Audio Captions, Hindi (Table 2)",
}


@dataclass(frozen=True)
class PaperRow:
    """One row of a table in print."""

    name: str
    kind: str
    """chance, ours (can be measured here) or earlier (another method, which is not built here)."""
    title: str
    recalls: dict[str, dict[str, float]]
    """{direction: {"R@k": percent}}"""
    source: str


def read_paper(table: str) -> list[PaperRow]:
    """The rows of one table, in the paper's order."""
    rows: dict[str, PaperRow] = {}
    with FIGURES.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["table"] != table:
                continue
            new = PaperRow(line["row"], line["kind"], line["title"], {}, line["source"])
            recalls = {name: float(text) for name, text in line.items() if name.startswith("R@")}
            rows.setdefault(line["row"], new).recalls[line["direction"]] = recalls
    return list(rows.values())
