"""An ablation as JSON, CSV and a page with its picture, each whole or absent, and as a table for a terminal."""

from pathlib import Path
from typing import Any

import pandas as pd

from datasets.files import write_bytes, write_json
from datasets.outside_text import make_csv
from flows.report.page import render_template

ENDINGS = ("json", "csv", "svg", "html")
_MEANING = {
    "helps": "recall is higher with it",
    "harms": "recall is lower with it",
    "not told apart": "these seeds and queries cannot tell it from chance",
    "does nothing": "the same clips are kept without it",
}
_ROW, _TOP, _LEFT, _WIDTH = 30, 44, 250, 420
Row = dict[str, Any]


def write_ablation(out: str, document: Row) -> None:
    """Write OUT/ablation.json, .csv, .svg and .html."""
    rows = to_rows(document)
    picture = {"rows": draw_rows(document), "ticks": draw_ticks(document), "top": _TOP, "left": _LEFT}
    picture |= {"width": _WIDTH, "height": _TOP + _ROW * (len(document["arms"]) - 1) + 40, "document": document}
    folder, names = Path(__file__).parent, ("ablation.svg.jinja", "ablation.html.jinja")
    svg, page = (render_template(name, folder, **picture, table=rows, meaning=_MEANING) for name in names)
    write_json(f"{out}/ablation.json", document)
    write_bytes(f"{out}/ablation.csv", make_csv(list(rows[-1]), rows))
    write_bytes(f"{out}/ablation.svg", svg.encode())
    write_bytes(f"{out}/ablation.html", page.encode())


def name_arm(arm: Row) -> str:
    """What is off, for people."""
    words = {"all": "nothing: all rules", "rule": f"rule {arm['off']}", "stage": f"all rules over {arm['off']}"}
    return words.get(arm["kind"], "all rules: clips at random")


def to_rows(document: Row) -> list[Row]:
    """A row an arm, recalls and gains in percent and points."""
    rows = []
    for arm in document["arms"]:
        gain = arm.get("gain", {})
        row = {"off": name_arm(arm), "rule": arm["rule"], "clips lost": arm["clips_lost"], "R@10": 100 * arm["R@10"]}
        row |= {f"gain{end}": 100 * gain[key] if gain else None for end, key in _ENDS}
        row |= {"verdict": arm.get("verdict"), "CPU-s a kept clip": arm["cpu_s_a_kept_clip"]}
        rows.append(row)
    return rows


_ENDS = (("", "mean"), (" low", "low"), (" high", "high"))


def to_frame(document: Row) -> pd.DataFrame:
    """The same for a terminal of 80 columns."""
    rows = []
    for row in to_rows(document):
        gain = "" if row["gain"] is None else f"{row['gain']:+.1f} ({row['gain low']:+.1f} to {row['gain high']:+.1f})"
        cost = row["CPU-s a kept clip"]
        shown = {"off": row["off"], "lost": row["clips lost"], "R@10": f"{row['R@10']:.1f}", "with it": gain}
        rows.append({**shown, "verdict": row["verdict"] or "", "CPU-s": "" if cost is None else f"{cost:.2f}"})
    return pd.DataFrame(rows)


def scale_of(document: Row) -> float:
    """Points of recall from the middle of the picture to its edge."""
    ends: list[float] = [
        abs(100 * arm["gain"][end]) for arm in document["arms"] if "gain" in arm for end in ("low", "high")
    ]
    return 1.1 * max([1.0, *ends])


def draw_rows(document: Row) -> list[Row]:
    """Where each arm's interval lies in the picture, in its units."""
    scale, middle = scale_of(document), _LEFT + _WIDTH / 2
    rows = []
    for number, arm in enumerate(arm for arm in document["arms"] if "gain" in arm):
        low, mean, high = (middle + 100 * arm["gain"][key] / scale * _WIDTH / 2 for key in ("low", "mean", "high"))
        place = {"low": low, "mean": mean, "high": high, "y": _TOP + _ROW * number}
        rows.append({**place, "name": name_arm(arm), "verdict": arm["verdict"]})
    return rows


def draw_ticks(document: Row) -> list[tuple[float, str]]:
    """(place, label) of five marks along the scale."""
    scale, middle = scale_of(document), _LEFT + _WIDTH / 2
    step = next(step for step in (0.5, 1, 2, 5, 10, 20, 50, 100) if step * 3 > scale)
    numbers = [number * step for number in range(-2, 3)]
    return [(middle + n / scale * _WIDTH / 2, f"{n:+g}" if n else "0") for n in numbers if abs(n) <= scale]
