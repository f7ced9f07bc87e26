"""How well `agree` tells speech that belongs to its picture: real photographs with spoken captions, and planted faults.

    python -m demo captions --photos ../shared/media/images/produce --out data/captions --language ja
    python -m demo captions --photos ../shared/media/images/produce --out data/captions --language en
    python -m benchmarks.bench_agreement --captions data/captions --out data/agreement

Photographs: heads learn from captions of train and val, and the test's 909 are scored, each with its own caption and
with that of another photograph. Small worlds: 30 % of the clips are planted (`benchmarks.agreement_world`), and it is
asked what share of them is under the limit that 5 % of the good are under. Writes benchmarks/agreement.md and .png;
without captions only the small worlds are measured, and nothing is written. With `--sound
transformers/openai/whisper-base` (and `--sound-weights FILE`) what that encoder hears stands in for log-mel.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa

from benchmarks.agreement_world import KINDS, build_world
from benchmarks.cascade import build_root
from benchmarks.limits import tell
from datasets.splits.drawn import read_drawn
from datasets.splits.folds import draw_folds
from features.encoders.encoder import Encoder, load_encoder
from model.calibration import Bin, area_under_curve, calibration_error, reliability
from model.data import load_clips
from model.seen_while_said import Agreement, cross_fit, read_heard
from model.settings import AgreeSettings

HERE = Path(__file__).parent
LOST = (0.02, 0.05, 0.1)
WORLDS = (5, 6, 7)
"""Seeds of small worlds: of one alone, luck would tell with 22 good clips under the limit."""


def score_root(root: Path, by_encoder: bool = False) -> tuple[list[str], np.ndarray, Agreement, float]:
    """Clip ids, the split of each, what cross-fitting gives, and its CPU-seconds."""
    settings, clips, drawn = AgreeSettings(), load_clips(root, None, ("2d",)), read_drawn(root)
    heard = read_heard(root, clips.clip_ids) if by_encoder else None
    split_of = dict(zip(drawn["clip_id"].to_pylist(), drawn["split"].to_pylist(), strict=True))
    splits = np.array([split_of[clip_id] for clip_id in clips.clip_ids])
    ids = pa.table({"clip_id": clips.clip_ids, "video_id": clips.video_ids})
    folds = draw_folds(ids, settings.num_folds, settings.seed, None, 1 + (splits != "test") * len(clips))
    started = time.process_time()
    found = cross_fit(clips, folds, splits != "test", settings, heard)
    return clips.clip_ids, splits, found, time.process_time() - started


def judge_photographs(
    captions: Path, language: str, root: Path, encoder: Encoder | None = None
) -> tuple[dict[str, Any], list[Bin]]:
    """Figures of the test photographs, and their curve."""
    build_root(captions, language, root, encoder)
    ids, splits, found, cpu_s = score_root(root, encoder is not None)
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


def judge_world(
    root: Path, num_videos: int, seed: int, encoder: Encoder | None = None
) -> tuple[list[dict[str, Any]], Agreement]:
    """Share of each planted kind that is found, a line for each share of the good that is lost; and all scores."""
    kinds = build_world(root, num_videos, seed=seed, encoder_sound=encoder)
    ids, _, found, _ = score_root(root, encoder is not None)
    kind = np.array([kinds[clip_id] for clip_id in ids])
    good, lines = kind == "good", []
    auc = area_under_curve(found.scores[good], found.scores[~good])
    for lost in LOST:
        limit = np.quantile(found.probabilities[good], lost)
        under = found.probabilities < limit
        shares = {name: round(100 * float(under[kind == name].mean()), 1) for name in KINDS[1:]}
        all_planted = round(100 * float(under[~good].mean()), 1)
        world = {"world": seed, "clips": len(ids), "planted": int((~good).sum()), "AUC": round(auc, 3)}
        at_limit = {"good lost, %": 100 * lost, "limit": round(float(limit), 3), "planted found, %": all_planted}
        lines.append(world | at_limit | shares)
    return lines, found


def judge_worlds(out: Path, num_videos: int, encoder: Encoder | None) -> tuple[list[dict[str, Any]], list[Bin]]:
    """Every small world's lines, and the curve of all: who is planted is not known to what calibrates."""
    lines, own, other = [], [], []
    for seed in WORLDS:
        of_world, found = judge_world(out / f"small_world_{seed}", num_videos, seed, encoder)
        print(*of_world, sep="\n", flush=True)
        lines += of_world
        own.append(found.probabilities)
        other.append(found.shuffled_probabilities)
    probabilities = np.concatenate(own + other)
    found_at = [line["planted found, %"] for line in lines if line["good lost, %"] == 5]
    tell("planted found where 5 % of the good are lost", float(np.mean(found_at)), "%", at_least=90)
    return lines, reliability(probabilities, np.repeat([True, False], len(probabilities) // 2))


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        [f"{value:.3g}" if isinstance(value := row[name], float) else str(value) for name in names] for row in rows
    ]
    lines = [names, ["---"] * len(names), *cells]
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
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--out", type=Path, help="keeps what is spoken and encoded")
    parser.add_argument("--languages", nargs="*", default=["ja", "en"])
    parser.add_argument("--videos", type=int, default=80)
    parser.add_argument("--sound", help="an encoder of sound that is heard in place of log-mel; nothing is written")
    parser.add_argument("--sound-weights", type=Path, help="a file of its weights, where they are not fetched")
    given = parser.parse_args()
    encoder = load_encoder(given.sound, given.sound_weights, device="cpu") if given.sound else None
    with tempfile.TemporaryDirectory() as folder:
        measure(given.captions, given.out or Path(folder), given.languages, given.videos, encoder)


def measure(
    captions: Path | None, out: Path, languages: list[str], num_videos: int, encoder: Encoder | None = None
) -> None:
    """Measure all, and write the page where there are captions."""
    rows, curves = [], {}
    for language in languages if captions else ():
        figures, curves[f"photographs, {language}"] = judge_photographs(captions, language, out / language, encoder)
        rows.append(figures)
        tell(f"AUC of photographs, {language}", figures["AUC"], "", at_least=0.85)
    lines, curves["small worlds"] = judge_worlds(out, num_videos, encoder)
    if not captions or encoder is not None:
        return
    text = (
        "# Seen while said\n\nWritten by `python -m benchmarks.bench_agreement`; its head says how.\n\n"
        f"## Photographs\n\n{table(rows)}\n\n## Small worlds, 30 % planted\n\n{table(lines)}\n\n"
        "## Reliability\n\n![share found over probability foretold](agreement.png)\n\n"
        + "\n\n".join(f"{name}:\n\n{table([point.columns() for point in curve])}" for name, curve in curves.items())
    )
    (HERE / "agreement.md").write_text(text + "\n", encoding="utf-8")
    draw_curves(curves, HERE / "agreement.png")


if __name__ == "__main__":
    main()
