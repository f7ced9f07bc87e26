"""The cascade of the paper on what can be had: real photographs, synthetic speech in two languages.

English is the large source set, Japanese the small target set. Rows as in the paper's Table 1, at equal cost:

    a     Japanese only, from random weights, for at most as many steps as d in all
    b     English only, never a Japanese word
    c     English, then more English: new captions of the photographs that d gets Japanese captions of
    d     English, then Japanese: the cascade

Hyper-parameters were chosen on validation pairs. Every run leaves a JSON file and the hits of each query, and what is
there is not done again.

    python -m demo captions --photos ../shared/media/images/produce --out data/captions --language ja
    python -m demo captions --photos ../shared/media/images/produce --out data/captions --language en \
        --per-train-photo 3
    python -m benchmarks.cascade --captions data/captions --out data/cascade
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datasets.files import write_json
from datasets.outcomes import OK
from datasets.tables import add_common_columns, make_table, record_run, write_part
from features.captioned_images import featurize_pairs
from features.clip_features import Encoders
from features.encoders.encoder import Encoder, load_encoder
from model.checkpoints import load_avlnet
from model.data import ClipSet, load_clips
from model.evaluate import embed_clips
from model.metrics import best_candidates, paired_difference, rank_embeddings
from model.ranks import RECALL_AT
from model.settings import EvaluateSettings, TrainSettings
from model.train import train

NUM_PAIRS = (50, 100, 250, 500)
SEEDS = (1, 2, 3)
SPLITS = ("train", "val", "test")
WIDTHS = (32, 32, 64, 128, 256)
"""A quarter of the original's audio network: an hour on two cores."""
COMMON = {"recipe": "proper", "embedding_dim": 1024, "widths": WIDTHS, "batch_size": 48, "micro_batch_size": 48}
PRETRAIN_STEPS, TARGET_STEPS = 720, 240
HITS_FILE = "hits.npz"
Hits = dict[str, npt.NDArray[np.float64]]
"""{"direction what R@k": [num_queries]}"""
Judge = Callable[[str], Hits]
VALIDATIONS = 6
"""Times that a run may look at the validation pairs; it stops when `PATIENCE` of them bring nothing better."""
PATIENCE = 2
PRETRAIN_RATE, SCRATCH_RATE, TARGET_RATE = 1e-3, 1e-3, 1e-3


def build_root(captions: Path, language: str, root: Path, encoder_sound: Encoder | None = None) -> None:
    """Features of one language's pairs under `root`; done once."""
    if (root / "splits" / "_run.json").exists():
        return
    pairs = [pair for split in SPLITS for pair in read_pairs(captions / f"{language}_{split}.json", split)]
    encoders = Encoders(load_encoder("efficientnet_lite0"), None, encoder_sound)
    columns = {name: [pair[name] for pair in pairs] for name in ("pair_id", "image_path", "audio_path")}
    splits = [{"clip_id": pair["pair_id"], "video_id": pair["pair_id"], "split": pair["split"], **OK} for pair in pairs]
    tables = featurize_pairs(pa.table(columns), encoders)
    for name, table in tables.items():
        write_part(root, name, add_common_columns(table, recipe="cascade", run_id="cascade"))
    write_part(root, "splits", make_table("splits", splits, recipe="cascade", run_id="cascade"))
    for name in (*tables, "splits"):
        record_run(root, name, "cascade", {})


def read_pairs(path: Path, split: str) -> list[dict[str, str]]:
    """The pairs of a metadata file in the layout of Places Audio Captions."""
    about = json.loads(path.read_text())
    images, sounds = Path(about["image_base_path"]), Path(about["audio_base_path"])
    return [
        {
            "pair_id": one["uttid"],
            "image_path": str(images / one["image"]),
            "audio_path": str(sounds / one["wav"]),
            "split": split,
        }
        for one in about["data"]
    ]


def draw_targets(pairs: ClipSet, num_pairs: int, seed: int) -> ClipSet:
    """`num_pairs` of the train pairs; a smaller draw of the same seed is part of a larger one."""
    order = np.random.default_rng([seed, 7]).permutation(len(pairs))
    return pairs.subset(np.sort(order[:num_pairs]))


def fit(train_set: ClipSet, val_set: ClipSet, folder: Path, steps: int, **settings: Any) -> dict[str, Any]:
    """Train for `steps` steps and keep the best of `VALIDATIONS` on the validation pairs."""
    size = min(COMMON["batch_size"], len(train_set))
    steps_per_epoch = len(train_set) // size
    repeats = max(1, steps // VALIDATIONS // steps_per_epoch)
    repeated = train_set.subset(np.tile(np.arange(len(train_set)), repeats))
    epochs = max(1, round(steps / (len(repeated) // size)))
    chosen = TrainSettings(**{**COMMON, "batch_size": size, "epochs": epochs, "patience": PATIENCE, **settings})
    started = time.process_time()
    result = train(repeated, val_set, chosen, folder)
    return {
        "checkpoint": str(result.checkpoint),
        "val_recall": result.history[result.selected_epoch].val_recall,
        "steps": result.num_steps,
        "cpu_s": time.process_time() - started,
    }


def find_hits(checkpoint: str, pairs: ClipSet, food_of: dict[str, str]) -> Hits:
    """Hits of the exact photograph and of any photograph of the named food, in both directions; each in [0, 1]."""
    audio, video = embed_clips(load_avlnet(checkpoint), pairs, EvaluateSettings())
    foods = np.array([food_of[pair_id] for pair_id in pairs.clip_ids])
    hits = {}
    for direction, query, gallery in (("A→V", audio, video), ("V→A", video, audio)):
        exact = rank_embeddings(query, gallery)
        is_food = foods[best_candidates(query, gallery, 10)] == foods[:, None]
        for k in RECALL_AT:
            hits[f"{direction} exact R@{k}"] = exact.hits(k)
            hits[f"{direction} food R@{k}"] = is_food[:, :k].any(axis=1).astype(float)
    return hits


def run_rows(data: dict[str, ClipSet], out: Path, seed: int, count: int, judge: Judge) -> None:
    """Rows b, d, c and a of one seed and number of Japanese pairs."""
    folder = out / f"seed{seed}"
    source = fit_once(
        folder / "b", data["en source"], data["ja val"], PRETRAIN_STEPS, judge,
        seed=seed, learning_rate=PRETRAIN_RATE, selection="last",
    )  # fmt: skip
    target = draw_targets(data["ja train"], count, seed)
    photos = {photo_of(pair_id) for pair_id in target.clip_ids}
    more = [index for index, pair_id in enumerate(data["en more"].clip_ids) if photo_of(pair_id) in photos]
    cascade = {"seed": seed, "init_checkpoint": source["checkpoint"], "learning_rate": TARGET_RATE}
    fit_once(folder / f"d{count}", target, data["ja val"], TARGET_STEPS, judge, **cascade)
    fit_once(folder / f"c{count}", data["en more"].subset(more), data["ja val"], TARGET_STEPS, judge, **cascade)
    scratch = {"seed": seed, "learning_rate": SCRATCH_RATE}
    fit_once(folder / f"a{count}", target, data["ja val"], PRETRAIN_STEPS + TARGET_STEPS, judge, **scratch)


def photo_of(pair_id: str) -> str:
    """The photograph of a pair LANGUAGE-SPLIT-PHOTO-NUMBER."""
    return pair_id.split("-", 2)[2].rsplit("-", 1)[0]


def fit_once(
    folder: Path, train_set: ClipSet, val_set: ClipSet, steps: int, judge: Judge, **settings: Any
) -> dict[str, Any]:
    """`fit` and its figures, read back when they are there."""
    path = folder / "figures.json"
    if path.exists():
        done: dict[str, Any] = json.loads(path.read_text())
        return done
    run = fit(train_set, val_set, folder, steps, **settings)
    hits = judge(run["checkpoint"])
    run |= {"num_train": len(train_set), **{name: float(values.mean()) for name, values in hits.items()}}
    np.savez(folder / HITS_FILE, **hits)
    write_json(str(path), run)
    shown = {name: f"{100 * run[name]:.1f}" for name in ("A→V exact R@10", "V→A exact R@10", "A→V food R@10")}
    print(folder.parent.name, folder.name, shown, f"{run['steps']} steps, {run['cpu_s']:.0f} CPU-s", flush=True)
    return run


def read_hits(out: Path) -> dict[tuple[int, str], list[Hits]]:
    """{(number of Japanese pairs, row): hits of each seed that is there}; row b has none of the pairs."""
    found: dict[tuple[int, str], list[Hits]] = {}
    for path in sorted(out.glob(f"seed*/*/{HITS_FILE}")):
        row, count = path.parent.name[0], int(path.parent.name[1:] or 0)
        with np.load(path) as arrays:
            found.setdefault((count, row), []).append(dict(arrays))
    return found


def print_recalls(found: dict[tuple[int, str], list[Hits]]) -> None:
    """Mean and deviation over the seeds, in percent, as a Markdown table."""
    print("| Japanese pairs | row | seeds | " + " | ".join(SHOWN) + " |")
    print("|---|---|---|" + "---|" * len(SHOWN))
    for (count, row), seeds in sorted(found.items()):
        cells = [f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in (summarise(seeds, name) for name in SHOWN)]
        print(f"| {count} | {row} | {len(seeds)} | " + " | ".join(cells) + " |")


def summarise(seeds: list[Hits], name: str) -> tuple[float, float]:
    """Mean and standard deviation of a recall over seeds, in percent; the deviation of one seed is NaN."""
    recalls = [100 * float(hits[name].mean()) for hits in seeds]
    return float(np.mean(recalls)), float(np.std(recalls, ddof=1)) if len(recalls) > 1 else float("nan")


def print_differences(found: dict[tuple[int, str], list[Hits]]) -> None:
    """What the cascade (d) gains over the other rows, by paired bootstrap of the queries' mean hits over seeds."""
    print("| Japanese pairs | gain | " + " | ".join(SHOWN) + " |")
    print("|---|---|" + "---|" * len(SHOWN))
    for (count, row), seeds in sorted(found.items()):
        for other in ("a", "b", "c") if row == "d" else ():
            others = found.get((0 if other == "b" else count, other))
            if others:
                cells = [show_gain(mean_hits(others, name), mean_hits(seeds, name)) for name in SHOWN]
                print(f"| {count} | d - {other} | " + " | ".join(cells) + " |")


def mean_hits(seeds: list[Hits], name: str) -> npt.NDArray[np.float64]:
    """[num_queries] hits, each the mean over the seeds."""
    mean: npt.NDArray[np.float64] = np.mean([hits[name] for hits in seeds], axis=0)
    return mean


def show_gain(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> str:
    """Percentage points with their interval; bold where it leaves out 0."""
    gain = paired_difference(first, second)
    told = f"{100 * gain.mean:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    return f"**{told}**" if gain.is_larger_than_noise else told


def plot_curve(found: dict[tuple[int, str], list[Hits]], path: Path) -> None:
    """Recall over the number of Japanese pairs, a line a row, bars of one standard deviation over seeds."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("A→V exact R@10", "A→V food R@10"), strict=True):
        for row, title in TITLES.items():
            points = [(count, *summarise(seeds, name)) for (count, one), seeds in sorted(found.items()) if one == row]
            if row == "b" and points:
                axis.axhline(points[0][1], linestyle=":", color="gray", label=title)
            elif points:
                counts, means, deviations = zip(*points, strict=True)
                axis.errorbar(counts, means, np.nan_to_num(deviations), marker="o", capsize=3, label=title)
        axis.set(title=name, xlabel="Japanese pairs", ylabel="percent", ylim=(0, None))
    axes[0].legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


TITLES = {"a": "(a) Japanese only", "b": "(b) English only", "c": "(c) English, more English", "d": "(d) cascade"}


SHOWN = tuple(
    f"{way} {what} R@{k}"
    for way in ("A→V", "V→A")
    for what, k in (("exact", 1), ("exact", 10), ("food", 1), ("food", 10))
)


def load_data(captions: Path, out: Path) -> dict[str, ClipSet]:
    """The sets of both languages; every third English caption of a photograph is kept for row c."""
    for language in ("en", "ja"):
        build_root(captions, language, out / language)
    english = load_clips(out / "en", "train", ("2d",))
    is_more = np.array([pair_id.endswith("-2") for pair_id in english.clip_ids])
    return {
        "en source": english.subset(np.flatnonzero(~is_more)),
        "en more": english.subset(np.flatnonzero(is_more)),
        "ja train": load_clips(out / "ja", "train", ("2d",)),
        "ja val": load_clips(out / "ja", "val", ("2d",)),
        "ja test": load_clips(out / "ja", "test", ("2d",)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--pairs", type=int, nargs="+", default=NUM_PAIRS)
    given = parser.parse_args()
    data = load_data(given.captions, given.out)
    about = json.loads((given.captions / "ja_test.json").read_text())["data"]
    food_of = {one["uttid"]: one["food"] for one in about}
    for count, seed in product(sorted(given.pairs, reverse=True), given.seeds):
        run_rows(data, given.out, seed, count, lambda path: find_hits(path, data["ja test"], food_of))
    found = read_hits(given.out)
    print_recalls(found)
    print_differences(found)
    plot_curve(found, given.out / "curve.png")


if __name__ == "__main__":
    main()
