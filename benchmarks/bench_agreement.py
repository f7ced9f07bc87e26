"""How well `agree` tells speech that belongs to its picture: real photographs with spoken captions, and planted faults.

    python -m demo captions --photos ../shared/media/images/produce --out data/captions --language ja
    python -m demo captions --photos ../shared/media/images/produce --out data/captions --language en
    python -m benchmarks.bench_agreement --captions data/captions --out data/agreement

Photographs: heads learn from captions of train and val, and the test's 909 are scored, each with its own caption and
with that of another photograph. Small world: 30 % of the clips are planted (`benchmarks.agreement_world`), and it is
asked what share of them is under the limit that 5 % of the good are under. Writes benchmarks/agreement.md and .png.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa

from benchmarks.agreement_world import KINDS, build_world
from benchmarks.cascade import build_root
from datasets.splits.drawn import read_drawn
from datasets.splits.folds import draw_folds
from model.calibration import Bin, area_under_curve, calibration_error, reliability
from model.data import load_clips
from model.seen_while_said import Agreement, cross_fit
from model.settings import AgreeSettings

HERE = Path(__file__).parent
LOST = (0.02, 0.05, 0.1)


def score_root(root: Path) -> tuple[list[str], np.ndarray, Agreement, float]:
    """Clip ids, the split of each, what cross-fitting gives, and its CPU-seconds."""
    settings, clips, drawn = AgreeSettings(), load_clips(root, None, ("2d",)), read_drawn(root)
    split_of = dict(zip(drawn["clip_id"].to_pylist(), drawn["split"].to_pylist(), strict=True))
    splits = np.array([split_of[clip_id] for clip_id in clips.clip_ids])
    ids = pa.table({"clip_id": clips.clip_ids, "video_id": clips.video_ids})
    folds = draw_folds(ids, settings.num_folds, settings.seed, None, 1 + (splits != "test") * len(clips))
    started = time.process_time()
    found = cross_fit(clips, folds, splits != "test", settings)
    return clips.clip_ids, splits, found, time.process_time() - started


def judge_photographs(captions: Path, language: str, root: Path) -> tuple[dict[str, Any], list[Bin]]:
    """Figures of the test photographs, and their curve."""
    build_root(captions, language, root)
    ids, splits, found, cpu_s = score_root(root)
    test = splits == "test"
    own, other = found.probabilities[test], found.shuffled_probabilities[test]
    figures = {
        "language": language,
        "AUC": round(area_under_curve(found.scores[test], found.shuffled_scores[test]), 3),
        "calibration error": round(calibration_error(np.r_[own, other], np.repeat([True, False], test.sum())), 3),
        "test pairs": int(test.sum()),
        "CPU-s a pair": round(cpu_s / len(ids), 4),
    }
    return figures, reliability(np.r_[own, other], np.repeat([True, False], test.sum()))


def judge_world(root: Path, num_videos: int) -> tuple[list[dict[str, Any]], list[Bin]]:
    """Share of each planted kind that is found, a line for each share of the good that is lost; and the curve."""
    kinds = build_world(root, num_videos)
    ids, _, found, _ = score_root(root)
    kind = np.array([kinds[clip_id] for clip_id in ids])
    good, lines = kind == "good", []
    for lost in LOST:
        limit = np.quantile(found.probabilities[good], lost)
        under = found.probabilities < limit
        shares = {name: round(100 * float(under[kind == name].mean()), 1) for name in KINDS[1:]}
        all_planted = round(100 * float(under[~good].mean()), 1)
        lines.append(
            {"good lost, %": 100 * lost, "limit": round(float(limit), 3), "planted found, %": all_planted} | shares
        )
    auc = area_under_curve(found.scores[good], found.scores[~good])
    lines[0]["AUC"], lines[0]["clips"] = round(auc, 3), len(ids)
    # A probability of the whole root: who is planted is not known to what calibrates.
    answers = np.repeat([True, False], len(ids))
    return lines, reliability(np.r_[found.probabilities, found.shuffled_probabilities], answers)


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([str(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw_curves(curves: dict[str, list[Bin]], path: Path) -> None:
    """Share found over probability foretold, a line for each set."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
    axis.plot([0, 1], [0, 1], color="gray", linestyle=":")
    for name, curve in curves.items():
        axis.plot([point.foretold for point in curve], [point.found for point in curve], marker="o", label=name)
    axis.set(xlabel="probability foretold", ylabel="share that belongs together")
    axis.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--languages", nargs="*", default=["ja", "en"])
    parser.add_argument("--videos", type=int, default=80)
    given = parser.parse_args()
    rows, curves = [], {}
    for language in given.languages:
        figures, curves[f"photographs, {language}"] = judge_photographs(given.captions, language, given.out / language)
        rows.append(figures)
        print(figures, flush=True)
    lines, curves["small world"] = judge_world(given.out / "small_world", given.videos)
    text = (
        "# Seen while said\n\nWritten by `python -m benchmarks.bench_agreement`; its head says how.\n\n"
        f"## Photographs\n\n{table(rows)}\n\n## Small world, 30 % planted\n\n{table(lines)}\n\n"
        "## Reliability\n\n![share found over probability foretold](agreement.png)\n\n"
        + "\n\n".join(f"{name}:\n\n{table([point.columns() for point in curve])}" for name, curve in curves.items())
    )
    print(text)
    (HERE / "agreement.md").write_text(text + "\n", encoding="utf-8")
    draw_curves(curves, HERE / "agreement.png")


if __name__ == "__main__":
    main()
