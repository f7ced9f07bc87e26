"""What `ablate` tells of six rules in a small world of which 30 % are planted; one of the rules is the real `agree`.

    python -m benchmarks.ablation_world --out data/ablation_world [--seeds 3] [--steps 400]

The world is that of `benchmarks.agreement_world`: demo's drawings and voices, EfficientNet-Lite0; of its train clips a
tenth each is off topic, a talking head, a standing card. `seen` reads the probability that `agree` gives, learned from
the same root, planted clips and all. `cards` leaves out the standing cards, told without error as `describe` would;
`foods` half of the foods (planted to harm), `chance` a tenth by chance and `none` none (planted not to matter), `long`
the twentieth that speaks longest (a real figure). The test is of other videos, nothing planted in them.
"""

import argparse
import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks.ablation import ablate, tell_verdicts
from benchmarks.agreement_world import build_world
from benchmarks.bench_agreement import score_root
from datasets.outcomes import OK
from datasets.tables import make_table, read_table, record_run, write_part
from demo.plan import plan_channel

HERE = Path(__file__).parent
MADE = {"recipe": "planted", "run_id": "planted"}
RULES = {
    "seen": "agreements.probability >= 0.5",
    "cards": "qualities.still_share <= 0.5",
    "foods": "qualities.dark_share <= 0.5",
    "chance": "qualities.border_share <= 0.5",
    "none": "qualities.clipped_share <= 0.5",
}
"""The columns of `qualities` carry what is planted."""
EXPECTED = {
    "seen": ("helps",), "foods": ("harms",), "chance": ("not told apart", "does nothing"), "none": ("does nothing",)
}  # fmt: skip


def plant_figures(root: Path, kinds: dict[str, str], food_of: dict[str, str]) -> None:
    """Tables agreements, as `agree` scores, and qualities, as planted; done once."""
    if (root / "qualities" / "_run.json").exists():
        return
    rng, foods = np.random.default_rng(1), sorted(set(food_of.values()))[::2]
    clip_ids, _, found, cpu_s = score_root(root)
    scored, planted = [], []
    for clip_id, score, probability in zip(clip_ids, found.scores, found.probabilities, strict=True):
        row = {"clip_id": clip_id, "video_id": clip_id.rsplit("_", 2)[0], **OK}
        scored.append({**row, "score": float(score), "probability": float(probability), "fold": 0})
        shares = {"still_share": kinds[clip_id] == "still", "dark_share": food_of[clip_id] in foods}
        shares |= {"border_share": rng.random() < 0.1, "clipped_share": False}
        planted.append({**row, **{name: float(share) for name, share in shares.items()}})
    for name, rows, cost in (("agreements", scored, cpu_s / len(scored)), ("qualities", planted, 0.0)):
        write_part(root, name, make_table(name, rows, **MADE))
        record_run(root, name, "planted", {"cpu_s_a_clip": cost})


def list_foods(num_videos: int, seed: int = 5) -> dict[str, str]:
    """clip_id to the food that is meant."""
    return {
        f"{plan.video_id}_{place * 10_000:09d}_{place * 10_000 + 8000:09d}": step.food
        for plan in plan_channel(num_videos, seed, {})
        for place, step in enumerate(plan.steps)
    }


def tell_of_seen(root: Path, kinds: dict[str, str]) -> None:
    """What `seen` leaves out of what was planted and of the good, of train."""
    train = {row["clip_id"] for row in read_table(root, "splits").to_pylist() if row["split"] == "train"}
    rows = [row for row in read_table(root, "agreements").to_pylist() if row["clip_id"] in train]
    for kind in dict.fromkeys(kinds.values()):
        under = [row["probability"] < 0.5 for row in rows if kinds[row["clip_id"]] == kind]
        print(f"seen leaves out {100 * np.mean(under):.1f} % of {len(under)} clips of train that are {kind}")


def main() -> None:
    """The world, its figures, and every rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=120)
    parser.add_argument("--test-videos", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="of each training, about")
    asked = parser.parse_args()
    root, began = asked.out / "world", (time.process_time(), time.monotonic())
    kinds, food_of = build_world(root, asked.videos, asked.test_videos), list_foods(asked.videos)
    plant_figures(root, kinds, food_of)
    tell_of_seen(root, kinds)
    print(f"world and figures: {time.process_time() - began[0]:.0f} CPU-s")
    frames = read_table(root, "log_mel", ["num_frames"])["num_frames"].to_numpy()
    rules = RULES | {"long": f"log_mel.num_frames <= {int(np.quantile(frames, 0.95))}"}
    kept = (asked.videos - asked.test_videos) * 8 * 0.3
    whole = ablate(str(root), asked.out / "rules", rules, asked.seeds, asked.steps, int(kept), "schedule=cosine")
    tell_verdicts(whole, EXPECTED, "6 rules x 3 seeds in the small world, all in all", began)
    shutil.copy(asked.out / "rules" / "ablation.svg", HERE / "ablation_world.svg")


if __name__ == "__main__":
    main()
