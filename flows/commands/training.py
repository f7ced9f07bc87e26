"""The commands that train and evaluate, and those for the authors' own files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.running import run_flow
from flows.commands.shared import (
    ConfigOption,
    JsonOption,
    RecipeOption,
    RootOption,
    SetOption,
    print_json,
    refuse_mistyped,
    show,
)
from flows.config import GALLERY_FILE, Config, ConfigError, load_config
from flows.experiments.settings import Experiment, rows_of_table1
from flows.machinery.server import reserve_server, start_server


def pretrain(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    recipe: RecipeOption = None,
    features: Annotated[
        str | None, typer.Option(help="2d: the variant for images with spoken captions; 2d+3d (train.features)")
    ] = None,
) -> None:
    """Train AVLnet on windows of whole videos, as the original does on HowTo100M.

    Example: python -m flows pretrain --config configs/pretraining.toml --recipe howto100m

    Example: python -m flows pretrain --config configs/pretraining.toml --features 2d
    """
    chosen = [f"train.features={features}"] if features else []
    settings = load_config(config, root, [*(overrides or []), *chosen], recipe)
    start = reserve_server()
    from flows.stages.train import pretrain as pretrain_flow
    from flows.stages.train import pretrain_model

    print(f"checkpoint: {run_flow(start, pretrain_flow, pretrain_model, settings)}")


def finetune(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, recipe: RecipeOption = None
) -> None:
    """Train AVLnet on the train clips or pairs, from the weights the configuration names or from scratch.

    Example: python -m flows finetune --config configs/demo.toml --root data/demo

    Example: torchrun --nproc-per-node 2 -m flows finetune --config configs/youcook_japanese.toml --recipe proper
    """
    settings = load_config(config, root, overrides, recipe)
    if "finetune" in (recipe or ()) and settings.train.init_checkpoint is None:
        raise ConfigError("--recipe finetune needs weights: set train.init_checkpoint, or take --recipe scratch")
    refuse_mistyped(settings)
    start = reserve_server()
    from flows.stages.train import finetune as finetune_flow
    from flows.stages.train import train_model

    print(f"checkpoint: {run_flow(start, finetune_flow, train_model, settings)}")


def evaluate(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    recipe: RecipeOption = None,
    metrics: Annotated[
        str | None, typer.Option(help="upstream: the original's figures, ties counted several times; or expected")
    ] = None,
    available: Annotated[
        str | None, typer.Option(help="a release: what its test clips that are left say of all of them; writes nothing")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="with --available: another root, compared on the test clips that both have")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure retrieval in both directions with the checkpoint of this configuration.

    Example: python -m flows evaluate --config configs/demo.toml --root data/demo

    Example: python -m flows evaluate --root data/regenerated --available data/releases/1.0.0

    Example: python -m flows evaluate --config configs/demo.toml --root data/demo --metrics upstream
    """
    chosen = [f"evaluate.metrics={metrics}"] if metrics else []
    settings = load_config(config, root, [*(overrides or []), *chosen], recipe)
    if available is not None or against is not None:
        _show_left(settings, available, against, json)
        return
    refuse_mistyped(settings)
    start = reserve_server()
    from flows.report.gallery import build_gallery
    from flows.stages.evaluate import evaluate as evaluate_flow
    from flows.stages.evaluate import evaluate_checkpoint
    from flows.status import read_retrieval

    run_flow(start, evaluate_flow, evaluate_checkpoint, settings)
    build_gallery(settings)
    show({"retrieval": read_retrieval(settings.root)}, json)
    print(f"gallery: {settings.root}/{GALLERY_FILE}", file=sys.stderr if json else sys.stdout)


def _show_left(config: Config, release: str | None, other_root: str | None, as_json: bool) -> None:
    if release is None:
        raise ConfigError("--against needs --available RELEASE: the clips that both roots are asked for")
    from flows.machinery.roots import check_has_tables
    from flows.stages.evaluate_left import compare_left, evaluate_left

    for root in filter(None, (config.root, other_root)):
        check_has_tables(root)
    frame, told = compare_left(config, release, other_root) if other_root else evaluate_left(config, release)
    show({"gain" if other_root else "left": frame}, as_json)
    print(told, file=sys.stderr if as_json else sys.stdout)


def experiment(
    which: Annotated[Experiment, typer.Argument(help="which of the paper's tables")],
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="train each row so often (experiments.seeds); recall is the mean")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure the rows of the paper's tables that have data and a model, beside the paper's figures.

    What is --set for train reaches every row that trains.

    Example: python -m flows experiment youcook-japanese --config configs/demo.toml --root data/demo

    Example: python -m flows experiment table1 --root data/original --seeds 3

    Example: python -m flows experiment table2 --config configs/places_japanese.toml
    """
    words = [*(overrides or []), *([f"experiments.seeds={seeds}"] if seeds else [])]
    settings = load_config(config, root, words, beneath=rows_of_table1(root) if which is Experiment.TABLE1 else None)
    start_server()
    from flows.experiments.measure import fill_root
    from flows.experiments.results import list_lacking, to_frames
    from flows.experiments.run import run_experiment
    from flows.machinery.doctor import require

    require("experiment", settings)
    document = run_experiment(settings, which)
    if json:
        print_json(document)
        return
    show(to_frames(document), as_json=False)
    for line in list_lacking(document):
        print(line)
    print(f"results: {fill_root(settings.experiments.out, settings)}/{which.value}.json and .csv")


def ablate(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="trainings of each line: of the draw of clips, too (experiments.seeds; else 3)"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what each rule of [filters] is worth: trainings without it, on equally many clips, with paired intervals.

    Example: python -m flows ablate --config configs/youcook_japanese.toml --root data/youcook_japanese

    Example: python -m flows ablate --root data/mine --seeds 5 --set filters.rules.still="qualities.still_share <= 0.5"
    """
    words = [*(overrides or []), *([f"experiments.seeds={seeds}"] if seeds else [])]
    settings = load_config(config, root, words, beneath={"experiments": {"seeds": 3}})
    refuse_mistyped(settings)
    start_server()
    from flows.experiments.ablate import run_ablation
    from flows.experiments.ablation_results import ENDINGS, to_frame
    from flows.experiments.measure import fill_root
    from flows.machinery.doctor import require

    require("ablate", settings)
    document = run_ablation(settings)
    if json:
        print_json(document)
        return
    show({"ablation": to_frame(document)}, as_json=False)
    size, all_, num_seeds = document["clips_trained_on"], document["clips"], len(document["seeds"])
    print(f"every line trains on {size:,} of {all_:,} clips; {num_seeds} seeds, {document['num_queries']:,} test clips")
    print(f"results: {fill_root(settings.experiments.out, settings)}/ablation: .{', .'.join(ENDINGS)}")


def import_original(
    files: Annotated[list[str], typer.Argument(help="the authors' pickles: PATH, or SPLIT=PATH")],
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
) -> None:
    """Read the authors' pickles into a root of their own: then finetune, evaluate and experiment run on it.

    What a file is called says its split: train; val or dev; eval or test. SPLIT=PATH says it where the name does not.

    Example: python -m flows import-original data/YouCook_Japanese/youcook_japanese_train.pkl
    data/YouCook_Japanese/youcook_japanese_val.pkl data/YouCook_Japanese/youcook_japanese_eval.pkl --root data/original
    """
    settings = load_config(config, root, overrides)
    start = reserve_server()
    from flows.stages.original_files import import_files
    from flows.stages.original_files import import_original as import_flow

    for line in run_flow(start, import_flow, import_files, settings, tuple(files)):
        print(line)


def export_original(
    folder: Annotated[Path, typer.Option("--out", help="folder for a pickle a split")],
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
) -> None:
    """Write a root's or release's clips as pickles that the authors' own code reads, for runs beside it.

    They hold 2D and 3D features; the demo has no 3D ones.

    Example: python -m flows export-original --root data/original --out data/for_upstream
    """
    settings = load_config(config, root, overrides)
    start_server()
    from flows.stages.original_files import export_original as export_flow

    for path in export_flow(settings, str(folder)):
        print(path)
