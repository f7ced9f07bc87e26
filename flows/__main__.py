"""The command line: `python -m flows COMMAND`."""

import json as json_module
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from datasets.queries import Facet
from flows.commands import operating, releases, training
from flows.commands.shared import (
    ConfigOption,
    JsonOption,
    RetryOption,
    RootOption,
    SetOption,
    finish,
    one_line_errors,
    read_config,
    show,
)
from flows.experiments.settings import Experiment

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def show_log() -> None:
    """Curate narrated video into audio-visual features, and fine-tune AVLnet on them."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("curation").setLevel(logging.INFO)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)


@app.command()
def curate(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: RetryOption = "",
    check_availability: Annotated[
        bool, typer.Option("--check-availability", help="only ask which known videos can still be had; no download")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print hours, disk and requests; do nothing")] = False,
    scale: Annotated[
        bool, typer.Option("--scale", help="too few clips: draw a proportionally smaller set (splits.scale=true)")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Search, select, download, segment, clip and split.

    Example: python -m flows curate --config configs/youcook_japanese.toml --dry-run

    Example: python -m flows curate --config configs/youcook_japanese.toml --scale

    Example: python -m flows curate --config configs/youcook_japanese.toml --check-availability
    """
    settings = read_config(config, root, [*(overrides or []), *(["splits.scale=true"] if scale else [])])
    if dry_run:
        from flows.machinery.forecast import forecast_curation

        with one_line_errors():
            show({"forecast": forecast_curation(settings)}, json)
        return
    from flows.machinery.doctor import require
    from flows.stages.availability import check_availability as check_flow
    from flows.stages.curate import curate as curate_flow
    from flows.status import read_reasons

    with one_line_errors():
        # Also here: Prefect's temporary server, which a flow waits for, takes up to 80 s to start.
        require("check-availability" if check_availability else "curate", settings)
        (check_flow if check_availability else curate_flow)(settings, read_reasons(retry))
    finish(settings, json)


@app.command()
def pairs(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: Annotated[str, typer.Option(help="reasons to do again: media_missing")] = "",
    json: JsonOption = False,
) -> None:
    """Fill the table pairs from metadata files of Places Audio Captions: images with spoken captions.

    Example: python -m flows pairs --config configs/places_japanese.toml
    """
    from flows.stages.pairs import fill_pairs

    settings = read_config(config, root, overrides)
    with one_line_errors():
        fill_pairs(settings, tuple(filter(None, retry.split(","))))
    finish(settings, json)


@app.command()
def featurize(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Compute 2D, 3D and audio features of the clips in the splits.

    Example: python -m flows featurize --config configs/youcook_japanese.toml --set features.precision=bf16
    """
    from flows.machinery.doctor import require
    from flows.stages.featurize import featurize as featurize_flow

    settings = read_config(config, root, overrides)
    with one_line_errors():
        require("featurize", settings)
        featurize_flow(settings)
    finish(settings, json)


app.command()(training.pretrain)
app.command()(training.finetune)
app.command()(training.evaluate)


@app.command()
def experiment(
    which: Annotated[Experiment, typer.Argument(help="which of the paper's tables")],
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the rows of the paper's tables that have data and a model, beside the paper's figures.

    Example: python -m flows experiment youcook-japanese --config configs/demo.toml --root data/demo
    """
    from flows.experiments.measure import fill_root
    from flows.experiments.results import list_lacking, to_frames
    from flows.experiments.run import run_experiment

    settings = read_config(config, root, overrides)
    with one_line_errors():
        document = run_experiment(settings, which)
    if json:
        print(json_module.dumps(document, ensure_ascii=False))
        return
    show(to_frames(document), as_json=False)
    for line in list_lacking(document):
        print(line)
    print(f"results: {fill_root(settings.experiments.out, settings)}/{which.value}.json and .csv")


@app.command()
def pipeline(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: RetryOption = "",
    json: JsonOption = False,
) -> None:
    """Curate, featurize, fine-tune and evaluate.

    Example: python -m flows pipeline --config configs/youcook_japanese.toml
    """
    from flows.machinery.doctor import require
    from flows.stages.pipeline import pipeline as pipeline_flow
    from flows.status import read_reasons, read_retrieval

    settings = read_config(config, root, overrides)
    with one_line_errors():
        require("pipeline", settings)
        pipeline_flow(settings, read_reasons(retry))
    finish(settings, json, retrieval=read_retrieval(settings.root))


@app.command()
def status(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    by: Annotated[Facet | None, typer.Option("--by", help="show also what each dish, technique or region gave")] = None,
    json: JsonOption = False,
) -> None:
    """Show the funnel and the failures by reason; with a configuration, what its plan still takes.

    Example: python -m flows status --config configs/demo.toml --root data/demo --by technique
    """
    from flows.machinery.forecast import forecast_rest
    from flows.yields import read_yields

    settings = read_config(config, root, overrides)
    more = {"yields": read_yields(settings.root, by)} if by else {}
    with one_line_errors():
        # Without a file the plan is not this root's.
        finish(settings, json, **more, **({"rest": forecast_rest(settings)} if config else {}))


@app.command()
def report(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    videos: Annotated[int, typer.Option(min=0, help="most label strips to show")] = 20,
    compare_networks: Annotated[
        int, typer.Option(min=0, help="videos on which to ask the segmenter's other network; seconds of CPU for each")
    ] = 0,
    listened: Annotated[
        list[Path] | None, typer.Option(help="CSV of answers saved from the listening sheet; may be repeated")
    ] = None,
) -> None:
    """Write ROOT/report.html: figures, label strips, and clips to listen to and judge; needs no server.

    Example: python -m flows report --root data/demo
    """
    from flows.report.build import build_report, read_precision
    from flows.report.listening import keep_answers

    settings = read_config(config, root, overrides)
    with one_line_errors():
        for path in listened or ():
            keep_answers(settings.root, path)
        print(build_report(settings, videos, compare_networks))
        if precision := read_precision(settings.root):
            print(precision.text, file=sys.stderr)


for command in (
    operating.doctor,
    operating.compact,
    operating.serve,
    releases.publish,
    releases.regenerate,
    releases.verify,
    releases.takedown,
    releases.am_i_in,
):
    app.command()(command)


@app.command()
def demo(
    root: RootOption = "data/demo",
    media: Annotated[Path | None, typer.Option(help="folder with real photographs to show")] = None,
    overrides: SetOption = None,
) -> None:
    """Render a small cooking channel, serve it here, and run the main job on it.

    Example: python -m flows demo --root data/demo
    """
    from flows.commands.small_world import run_demo
    from flows.status import read_retrieval

    settings = read_config(Path(__file__).parents[1] / "configs" / "demo.toml", root, overrides)
    with one_line_errors():
        run_demo(settings, media)
    finish(settings, False, retrieval=read_retrieval(settings.root))
    print(
        f"Everything lies in {settings.root}: channel/ with its truth, media_files/, tables, checkpoints/.\n"
        f"Next: python -m flows evaluate --config configs/demo.toml --root {settings.root}"
    )


if __name__ == "__main__":
    # What `kill`, systemd and Docker send; as Ctrl-C, it also ends the servers that a command started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
