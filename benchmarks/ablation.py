"""What `ablate` tells of rules on real photographs with spoken captions, of which some are off topic on purpose.

    python -m benchmarks.ablation --media ../shared/media --out data/ablation [--seeds 3] [--steps 200]

Of the train pairs 30 % get the picture of another food. Six rules: one that finds 90 % of them and takes 5 % of the
good ones with it, as a figure of that quality would (planted, `topic`); one that leaves out half of the foods (`foods`,
harmful); one that leaves out a tenth by chance (`chance`, useless) and one that leaves out none (`none`); and two over
a real figure, the length of the caption. First filtered by `topic` alone against as many at random.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.cascade import build_root
from benchmarks.limits import tell
from datasets.outcomes import OK
from datasets.tables import add_common_columns, make_table, read_table, record_run, write_part
from flows.config import load_config
from flows.experiments.ablate import measure_arms
from flows.experiments.ablation_results import to_frame, write_ablation

SHARE_OFF_TOPIC, FOUND, LOST = 0.3, 0.9, 0.05
RULES = {
    "topic": "qualities.still_share <= 0.5",
    "foods": "qualities.dark_share <= 0.5",
    "chance": "qualities.border_share <= 0.5",
    "none": "qualities.clipped_share <= 0.5",
    "short": "log_mel.num_frames >= 107",
    "long": "log_mel.num_frames <= 263",
}
"""The columns of `qualities` carry what is planted; they are no figures of photographs."""
EXPECTED = {"topic": ("helps",), "foods": ("harms",), "chance": ("not told apart",), "none": ("does nothing",)}
BATCH, HOURS_ASKED = 48, 2.0
TRAIN = (
    "recipe=proper", "features=2d", f"batch_size={BATCH}", f"micro_batch_size={BATCH}", "learning_rate=3e-3",
    "embedding_dim=256", "widths=[16, 16, 16, 32, 64]", "selection=last",
)  # fmt: skip


def plant(source: str, root: str, food_of: dict[str, str]) -> None:
    """The pairs of `source` under `root`, some of train off topic, with planted figures; done once."""
    if (Path(root) / "qualities" / "_run.json").exists():
        return
    made, rng = {"recipe": "planted", "run_id": "planted"}, np.random.default_rng(1)
    splits, pooled, log_mel = (read_table(source, name) for name in ("splits", "pooled", "log_mel"))
    train = sorted(row["clip_id"] for row in splits.to_pylist() if row["split"] == "train")
    off_topic = [str(c) for c in rng.permutation(train)[: round(SHARE_OFF_TOPIC * len(train))]]
    others = dict(zip(off_topic, move_pictures(off_topic, food_of), strict=True))
    place = {clip_id: row for row, clip_id in enumerate(pooled["clip_id"].to_pylist())}
    taken = pa.array([place[others.get(clip_id, clip_id)] for clip_id in place])
    moved = pooled.take(taken)
    for column, name in enumerate(("clip_id", "video_id")):
        moved = moved.set_column(column, name, pooled[name])
    foods = sorted({food_of[clip_id] for clip_id in train})[::2]
    rows = [
        {
            "clip_id": c, "video_id": c, **OK, "clipped_share": 0.0,
            "still_share": float(rng.random() < (FOUND if c in others else LOST)),
            "dark_share": float(food_of[c] in foods), "border_share": float(rng.random() < 0.1),
        }
        for c in train
    ]  # fmt: skip
    for name, table in (("splits", splits), ("pooled", moved), ("log_mel", log_mel)):
        own = table.drop_columns(["recipe", "attempt", "run_id"])
        write_part(root, name, add_common_columns(own, **made))
    write_part(root, "qualities", make_table("qualities", rows, **made))
    for name in ("splits", "pooled", "log_mel", "qualities"):
        record_run(root, name, "planted", {})


def move_pictures(pairs: list[str], food_of: dict[str, str]) -> list[str]:
    """For each pair another whose picture it gets, of another food: half of the way round, sorted by food."""
    ordered = sorted(pairs, key=lambda pair: (food_of[pair], pair))
    half = len(ordered) // 2
    other = dict(zip(ordered, ordered[half:] + ordered[:half], strict=True))
    return [other[pair] for pair in pairs]


def read_foods(captions: Path) -> dict[str, str]:
    """pair_id to what is seen."""
    files = (captions / f"ja_{split}.json" for split in ("train", "val", "test"))
    return {pair["uttid"]: pair["food"] for file in files for pair in json.loads(file.read_text())["data"]}


def ablate(
    root: str, out: Path, rules: dict[str, str], seeds: int, steps: int, size: int, *more: str
) -> dict[str, Any]:
    """The document of an ablation, every training of about so many steps; `more` settings of the training."""
    epochs = max(1, round(steps / (size // BATCH)))
    words = [f"filters.rules.{name}={rule}" for name, rule in rules.items()]
    words += [f"train.{word}" for word in (*TRAIN, *more, f"epochs={epochs}")]
    config = load_config(None, root, (*words, f"experiments.seeds={seeds}", f"experiments.out={out}"))
    document = {**measure_arms(config), "code_version": "benchmark"}
    write_ablation(str(out), document)
    print(to_frame(document).to_string(index=False))
    told = f"{document['clips_trained_on']} of {document['clips']} pairs, {document['num_queries']} test pairs"
    print(f"every line trains {epochs} epochs on {told}, {seeds} seeds\n", flush=True)
    return document


def tell_verdicts(
    document: dict[str, Any], expected: dict[str, tuple[str, ...]], what: str, began: tuple[float, float]
) -> None:
    """How many planted rules are told for what they are, and what it took since the CPU- and wall-clock `began`."""
    verdicts = {arm["off"]: arm["verdict"] for arm in document["arms"] if arm["kind"] == "rule"}
    num_right = sum(verdicts[name] in right for name, right in expected.items())
    tell("planted rules told for what they are", num_right, f"of {len(expected)}", at_least=len(expected))
    tell(what, (time.process_time() - began[0]) / 3600, "CPU-hours", at_most=2 * HOURS_ASKED)
    print(f"{(time.monotonic() - began[1]) / 60:.0f} minutes")


def main() -> None:
    """Filtered against random, then every rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="folder with images/produce")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--captions", type=Path, help="of an earlier run; spoken under OUT when not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of each training, about")
    asked = parser.parse_args()
    captions = asked.captions or asked.out / "captions"
    if not (captions / "ja_test.json").exists():
        photos = asked.media / "images" / "produce"
        command = [sys.executable, "-m", "demo", "captions", "--photos", str(photos), "--out", str(captions)]
        subprocess.run([*command, "--language", "ja"], check=True)
    build_root(captions, "ja", asked.out / "photographs")
    root = str(asked.out / "off_topic")
    plant(str(asked.out / "photographs"), root, read_foods(captions))
    began = time.process_time(), time.monotonic()
    chosen = {"topic": RULES["topic"]}
    filtered = ablate(root, asked.out / "filtered", chosen, asked.seeds, asked.steps, size=816)
    gain = filtered["arms"][1]["gain"]
    print("filtered minus random, points of R@10: " + ", ".join(f"{k} {100 * v:+.2f}" for k, v in gain.items()))
    whole = ablate(root, asked.out / "rules", RULES, asked.seeds, asked.steps, size=300)
    tell_verdicts(whole, EXPECTED, "6 rules x 3 seeds, and filtered against random", began)


if __name__ == "__main__":
    main()
