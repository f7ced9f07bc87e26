"""One table of the paper, measured: each row evaluated on the same clips, or why it cannot be."""

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from datasets.files import sha256_of
from datasets.releases.layout import shards_of
from datasets.seeded_order import unique_hashes
from datasets.settings import recipe_of
from datasets.tables import list_parts, table_digest
from flows.config import Config
from flows.experiments.paper import PaperRow, read_paper
from flows.experiments.settings import RowSettings, TableSettings
from flows.machinery.progress import logger
from flows.stages.train import digest_of_init, train_on
from model.checkpoints import load_avlnet
from model.data import ClipSet, load_clips
from model.evaluate import embed_clips, retrieval_reports
from model.metrics import Difference, bootstrap_seeds, chance_metrics, paired_difference, rank_embeddings
from model.ranks import DIRECTIONS, RECALL_AT, Ranks, both_ways
from model.settings import EvaluateSettings

Digests = dict[str, str]


@dataclass(frozen=True)
class Measured:
    """What one row's model got on the test clips."""

    report: dict[str, dict[str, Any]]
    """As `model.evaluate.evaluate` returns it."""
    ranks: dict[str, list[Ranks]]
    """By direction, one of each seed, for comparing two rows query by query."""
    model: dict[str, Any]
    """Where the checkpoint is, its sha256, and what it was trained on where this experiment trained it; `seeds` has
    those of every seed."""


@dataclass(frozen=True)
class Comparison:
    """Two measured rows on the same queries."""

    first: str
    second: str
    direction: str
    gains: dict[str, Difference]
    """{"R@k": second minus first}"""


@dataclass
class TableResult:
    """One table: the paper's rows and one's own, with what was measured."""

    table: str
    paper: list[PaperRow]
    test_on: str | None = None
    split: str = "test"
    digests: Digests = field(default_factory=dict)
    """Of what the test clips were read from."""
    num_queries: int = 0
    note: str | None = None
    measured: dict[str, Measured] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    """Row to one line that says what it lacks."""
    comparisons: list[Comparison] = field(default_factory=list)


def measure_table(config: Config, table: str) -> TableResult:
    """Measure the rows of one table that have what they need, and say of the others what they lack."""
    settings: TableSettings = getattr(config.experiments, table)
    result = TableResult(table, read_paper(table), split=settings.split)
    names = [row.name for row in result.paper if row.kind == "ours"]
    names += [name for name in settings.rows if name not in names]
    try:
        if settings.test_on is None:
            raise ValueError(f"no test clips: name a root or release in experiments.{table}.test_on")
        root = fill_root(settings.test_on, config)
        clips = draw_clips(load_clips(root, settings.split, settings.families), settings.num_queries)
        if settings.num_queries is not None and len(clips) < settings.num_queries:
            result.note = f"{len(clips)} queries, not {settings.num_queries}: {root} has no more"
        result.test_on, result.num_queries = root, len(clips)
        result.digests = digest_data(root, settings.split)
        result.chance = chance_metrics(len(clips), len(clips))
    except ValueError as error:
        result.lacking = dict.fromkeys(names, str(error))
        return result
    for name in names:
        try:
            result.measured[name] = _measure_row(config, table, name, settings, clips, result.measured)
        except ValueError as error:
            result.lacking[name] = str(error)
    result.comparisons = compare_rows(result.measured, config.evaluate)
    if config.experiments.seeds > 1:
        seeds = f"rows that train have {config.experiments.seeds} seeds: their mean, intervals of queries and seeds"
        result.note = f"{result.note}; {seeds}" if result.note else seeds
    return result


def draw_clips(clips: ClipSet, num_clips: int | None, salt: str = "experiment") -> ClipSet:
    """At most `num_clips`, the first in the order of a hash of their ids, so that growth changes few; all for None.

    Clips with weights count as much as their weights: what is drawn is so many an epoch.
    """
    weights = clips.shares
    if num_clips is None or weights.sum() <= num_clips:
        return clips
    import pyarrow as pa

    order = np.argsort(unique_hashes(pa.chunked_array([clips.clip_ids]), salt))
    num_first = int(np.searchsorted(np.cumsum(weights[order]).round(9), num_clips)) + 1
    return clips.subset(np.sort(order[:num_first]))


def fill_root(name: str, config: Config) -> str:
    """A name of the configuration with `{root}` filled in."""
    return name.replace("{root}", config.root.rstrip("/"))


def digest_data(root: str, split: str) -> Digests:
    """What a result can be traced to: digests of a root's tables, or of a release's shards of that split."""
    shards = [path for family in ("log_mel", "pooled") for path in shards_of(root, family, split, bare=True)]
    if shards:
        return {path.removeprefix(f"{root.rstrip('/')}/"): sha256_of(path) for path in shards}
    tables = [name for name in ("splits", "pairs", "pooled", "log_mel") if list_parts(root, name)]
    return {name: table_digest(root, name) for name in tables}


def _measure_row(
    config: Config, table: str, name: str, settings: TableSettings, clips: ClipSet, before: dict[str, Measured]
) -> Measured:
    row = settings.rows.get(name, RowSettings())
    if row.checkpoint:
        path = _existing_file(fill_root(row.checkpoint, config), f"experiments.{table}.rows.{name}.checkpoint")
        models: list[dict[str, Any]] = [{"checkpoint": str(path), "sha256": sha256_of(path)}]
    elif row.train_on:
        models = _train_row(config, f"{table}.{name}", row, settings, before)
    else:
        raise ValueError(f"no model: name a checkpoint, or train_on, in experiments.{table}.rows.{name}")
    reports: list[dict[str, dict[str, Any]]] = []
    ranks: dict[str, list[Ranks]] = {direction: [] for direction in DIRECTIONS}
    for model in models:
        logger.info("%s.%s: evaluating %s on %d clips", table, name, model["checkpoint"], len(clips))
        avlnet = load_avlnet(model["checkpoint"], video_dim=clips.video_dim)
        audio, video = embed_clips(avlnet, clips, config.evaluate)
        for direction, query, gallery in both_ways(audio, video):
            ranks[direction].append(rank_embeddings(query, gallery))
        reports.append(retrieval_reports(audio, video, config.evaluate))
    if len(models) == 1:
        return Measured(reports[0], ranks, models[0])
    # The seeds' figures as one: means, an interval that holds queries and seeds, and each seed's own.
    mean: dict[str, dict[str, Any]] = {}
    for direction, runs in ranks.items():
        own = [report[direction] for report in reports]
        mean[direction] = {**own[0], "seeds": [one["metrics"] for one in own]}
        for figure in {"metrics", "shuffled"} & own[0].keys():
            mean[direction][figure] = {key: float(np.mean([one[figure][key] for one in own])) for key in own[0][figure]}
        if num := config.evaluate.num_bootstrap:
            interval = bootstrap_seeds(runs, num, config.evaluate.confidence, config.evaluate.seed)
            mean[direction]["interval"] = interval
    return Measured(mean, ranks, {**models[0], "seeds": models})


def _existing_file(name: str, field_name: str) -> Path:
    if not Path(name).is_file():
        raise ValueError(f"no checkpoint {name}: put the file there, or name another in {field_name}")
    return Path(name)


def _train_row(
    config: Config, title: str, row: RowSettings, table: TableSettings, before: dict[str, Measured]
) -> list[dict[str, Any]]:
    """A checkpoint a seed of a row that trains, trained if it is not there; a killed training goes on."""
    assert row.train_on is not None
    root, settings = fill_root(row.train_on, config), row.train or config.train
    seeds = range(settings.seed, settings.seed + config.experiments.seeds)
    if row.starts_from:
        if row.starts_from not in before:
            raise ValueError(f"row {row.starts_from}, whose model it starts from, is not measured before it")
        model = before[row.starts_from].model
        inits = [one["checkpoint"] for one in model.get("seeds", [model] * len(seeds))]
    else:
        init = settings.init_checkpoint and fill_root(settings.init_checkpoint, config)
        if init:
            _existing_file(init, f"train.init_checkpoint of {title}")
        inits = [init] * len(seeds)
    digests = {split: digest_data(root, split) for split in ("train", "val")}
    models = []
    for seed, init in zip(seeds, inits, strict=True):
        seeded = settings.model_copy(update={"init_checkpoint": init, "features": table.features, "seed": seed})
        init_sha256 = digest_of_init(seeded)
        name = recipe_of(seeded, init_sha256, digests)
        folder = Path(fill_root(config.experiments.out, config)) / "checkpoints" / name
        made_from = recipe_of(init_sha256, digests)
        path = train_on(root, seeded, folder, f"train {title}, seed {seed}", made_from, config.run.cache_dir)
        models.append({
            "checkpoint": str(path),
            "sha256": sha256_of(path),
            "init_sha256": init_sha256,
            "trained_on": root,
            "trained_on_digests": digests,
            "train": seeded.model_dump(mode="json"),
        })  # fmt: skip
    return models


def compare_rows(measured: dict[str, Measured], settings: EvaluateSettings) -> list[Comparison]:
    """Every two rows in both directions, by paired bootstrap; none where the settings leave intervals out."""
    if not settings.num_bootstrap:
        return []
    comparisons = []
    for direction in DIRECTIONS:
        for names in combinations(measured, 2):
            gains = {}
            for k in RECALL_AT:
                # Of a row with several seeds each query's mean counts.
                runs = (measured[name].ranks[direction] for name in names)
                first, second = (np.mean([run.hits(k) for run in seeds], axis=0) for seeds in runs)
                chance = (settings.num_bootstrap, settings.confidence, settings.seed)
                gains[f"R@{k}"] = paired_difference(first, second, *chance)
            comparisons.append(Comparison(*names, direction, gains))
    return comparisons
