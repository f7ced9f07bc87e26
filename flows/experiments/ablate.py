"""The price of every rule: trainings with and without it, on equally many clips, told apart from chance or not.

Each arm is the configuration without one rule, without all rules over one table (a stage), or without any: then clips
are drawn at random. All arms train on equally many clips, drawn by seed, with the same settings; a seed stands for the
draw of clips, the first weights and the order. So a gain is that of better clips, never of more.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from prefect import flow

from datasets.filters import FilterSettings, read_figures
from datasets.settings import recipe_of
from datasets.tables import read_run
from flows.config import Config, ConfigError
from flows.experiments.ablation_results import write_ablation
from flows.experiments.measure import digest_data, draw_clips, fill_root
from flows.machinery.locks import hold_root
from flows.machinery.prepare import prepared
from flows.machinery.progress import logger
from flows.machinery.run import code_version
from flows.stages.filter import keep_by_rules
from flows.stages.train import digest_of_init, train_clips
from model.checkpoints import load_avlnet
from model.data import ClipSet, has_split, load_clips
from model.evaluate import embed_clips
from model.metrics import paired_difference_of_seeds, rank_embeddings
from model.ranks import DIRECTIONS, both_ways
from model.sampling import clips_per_epoch

K = 10
Hits = npt.NDArray[np.float64]
"""[num_seeds, 2 directions, num_queries]"""


@dataclass(frozen=True)
class Arm:
    """One way to choose what is trained on."""

    kind: str
    """all (the configuration as it is), rule, stage or none: what is off."""
    name: str
    """Of the rule or table that is off."""
    filters: FilterSettings


def list_arms(settings: FilterSettings) -> list[Arm]:
    """All rules; each rule off; the rules of each table off, where that is another set; all rules off.

    Raises:
        ConfigError: there are no rules.
    """
    if not settings.rules:
        raise ConfigError("filters.rules: nothing to ablate, no rule is configured; docs/quality.md shows some")
    rules = settings.parsed
    arms = [Arm("all", "", settings), *(Arm("rule", rule.name, settings.without(rule.name)) for rule in rules)]
    over = {table: [rule.name for rule in rules if rule.table == table] for table in settings.tables}
    for arm in (
        Arm("none", "", settings.without(*settings.rules)),
        *(Arm("stage", table, settings.without(*names)) for table, names in over.items()),
    ):
        if all(arm.filters.rules != other.filters.rules for other in arms):
            arms.append(arm)
    return arms


@flow(name="ablate")
@prepared("ablate")
def run_ablation(config: Config) -> dict[str, Any]:
    """Train and compare every arm; what is trained is not trained again, a killed training goes on.

    Returns:
        What was written to OUT/ablation.json.
    """
    out = fill_root(config.experiments.out, config)
    with hold_root(out):
        document = {**measure_arms(config), "code_version": code_version()}
        write_ablation(out, document)
    return document


def measure_arms(config: Config) -> dict[str, Any]:
    """Every arm beside the configuration as it is, as JSON can hold it; recalls and gains as fractions."""
    settings, families = config.filters, config.train.families
    arms, figures = list_arms(settings), read_figures(config.root, settings)
    everything = load_clips(config.root, "train", families, config.run.cache_dir)
    val = load_clips(config.root, "val", families, config.run.cache_dir) if has_split(config.root, "val") else None
    test = keep_by_rules(load_clips(config.root, "test", families), "test", settings, figures)
    kept = [keep_by_rules(everything, "train", arm.filters, figures) for arm in arms]
    size = min(map(clips_per_epoch, kept))
    seeds = range(config.train.seed, config.train.seed + config.experiments.seeds)
    digests = {split: digest_data(config.root, split) for split in ("train", "val")}
    made_of = (digest_of_init(config.train), digests)
    base, rows = None, []
    for arm, clips in zip(arms, kept, strict=True):
        val_set = None if val is None else keep_by_rules(val, "val", arm.filters, figures)
        hits = np.array(list(_measure_seeds(config, arm, (clips, val_set, test), size, seeds, made_of)))
        base = hits if base is None else base
        cost = _cost_of_figures(config.root, arm.filters)
        rows.append({
            "kind": arm.kind,
            "off": arm.name,
            "rule": settings.rules.get(arm.name) if arm.kind == "rule" else None,
            "clips_kept": len(clips),
            "clips_lost": len(everything) - len(clips),
            "cpu_s_a_kept_clip": None if cost is None else cost * len(everything) / len(clips),
            "R@10": float(hits.mean()),
            "R@10_by_seed": hits.mean(axis=(1, 2)).tolist(),
            "R@10_by_direction": dict(zip(DIRECTIONS, hits.mean(axis=(0, 2)).tolist(), strict=True)),
            **({} if arm.kind == "all" else _compare(config, hits, base, clips, kept[0])),
        })  # fmt: skip
    told = {"root": config.root, "rules": dict(settings.rules), "train": config.train.model_dump(mode="json")}
    sizes = {"clips_trained_on": size, "clips": len(everything), "num_queries": len(test), "seeds": list(seeds)}
    return {**told, **sizes, "confidence": config.evaluate.confidence, "arms": rows}


def _measure_seeds(
    config: Config, arm: Arm, sets: tuple[ClipSet, ClipSet | None, ClipSet], size: int, seeds: range, made_of: Any
) -> Iterator[Hits]:
    """[2, num_queries] hits of the test clips in both directions, a training a seed; `sets` are train, val and test."""
    clips, val_set, test = sets
    val_rules = arm.filters.written if "val" in arm.filters.splits else None
    for seed in seeds:
        drawn = draw_clips(clips, size, f"ablation/{seed}")
        weights = None if drawn.weights is None else drawn.weights.tolist()
        made_from = recipe_of(*made_of, weights, val_rules)
        seeded = config.train.model_copy(update={"seed": seed})
        name = recipe_of("ablation", seeded, made_from, drawn.clip_ids)
        folder = Path(fill_root(config.experiments.out, config)) / "checkpoints" / name
        title = f"without {arm.name or 'any rule'}" if arm.kind != "all" else "all rules"
        path = train_clips(drawn, val_set, seeded, folder, f"{title}, seed {seed}", made_from)
        audio, video = embed_clips(load_avlnet(path), test, config.evaluate)
        found = np.array([rank_embeddings(query, gallery).hits(K) for _, query, gallery in both_ways(audio, video)])
        logger.info("%s, seed %d: R@10 %.1f %%", title, seed, 100 * found.mean())
        yield found


def _compare(config: Config, without: Hits, base: Hits, clips: ClipSet, base_clips: ClipSet) -> dict[str, Any]:
    """What the rules that are off in an arm bring: all rules minus the arm, and what can be said of it."""
    chance = config.evaluate.num_bootstrap or 1000, config.evaluate.confidence, config.evaluate.seed
    gain = paired_difference_of_seeds(without.mean(axis=1), base.mean(axis=1), *chance)
    by_direction = {
        direction: paired_difference_of_seeds(without[:, i], base[:, i], *chance)
        for i, direction in enumerate(DIRECTIONS)
    }
    is_same = clips.clip_ids == base_clips.clip_ids and np.array_equal(clips.shares, base_clips.shares)
    verdict = "does nothing" if is_same else "helps" if gain.low > 0 else "harms" if gain.high < 0 else "not told apart"
    return {
        "gain": vars(gain),
        "gain_by_direction": {direction: vars(found) for direction, found in by_direction.items()},
        "verdict": verdict,
    }


def _cost_of_figures(root: str, settings: FilterSettings) -> float | None:
    """CPU-seconds a clip of the stages that make what rules read; None where no run recorded them.

    Tables that a root has anyway, clips and features, cost a rule nothing and record nothing.
    """
    costs = [(read_run(root, table) or {}).get("cpu_s_a_clip") for table in settings.tables]
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if known or not settings.tables else None
