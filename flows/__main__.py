"""The command line: `python -m flows COMMAND`."""

import json as json_module
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.config import Config, ConfigError, load_config

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out = Console()

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file; see configs/")]
RootOption = Annotated[str | None, typer.Option("--root", help="dataset root: a folder, or for tables a URL")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="stage.field=value, over the file")]
JsonOption = Annotated[bool, typer.Option("--json", help="print machine-readable results")]


@app.callback()
def show_log() -> None:
    """Curate narrated video into audio-visual features, and fine-tune AVLnet on them."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("curation").setLevel(logging.INFO)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)


class ExitCode(IntEnum):
    """What a command ends with."""

    DONE = 0
    FAILURES_ABOVE_LIMIT = 1
    BAD_USAGE = 2
    STOPPED = 3
    INTERRUPTED = 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a person can mend into one line and an exit code; anything else keeps its traceback."""
    from datasets.splits import SplitError
    from flows.batches import RootBusyError

    try:
        yield
    except ConfigError as error:
        _stop(str(error), ExitCode.BAD_USAGE)
    except (SplitError, RootBusyError, OSError, ValueError) as error:
        _stop(str(error), ExitCode.STOPPED)
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on where this one stopped", ExitCode.INTERRUPTED)


def _stop(message: str, code: ExitCode) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(code)


def read_config(config: Path | None, root: str | None, overrides: list[str] | None) -> Config:
    """The configuration of a command, with one-line errors."""
    with one_line_errors():
        return load_config(config, root, tuple(overrides or ()))
    raise AssertionError("unreachable: errors exit")


@app.command()
def curate(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: Annotated[str, typer.Option(help='reasons to do again, separated by commas, or "transient"')] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print hours, disk and requests; do nothing")] = False,
    scale: Annotated[
        bool, typer.Option("--scale", help="too few clips: draw a proportionally smaller set (splits.scale=true)")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Search, select, download, segment, clip and split.

    Example: python -m flows curate --config configs/youcook_japanese.toml --dry-run

    Example: python -m flows curate --config configs/youcook_japanese.toml --scale
    """
    settings = read_config(config, root, [*(overrides or []), *(["splits.scale=true"] if scale else [])])
    if dry_run:
        from flows.forecast import forecast_curation

        show({"forecast": forecast_curation(settings)}, json)
        return
    from flows.curate import curate as curate_flow
    from flows.status import transient_reasons

    reasons = transient_reasons() if retry == "transient" else tuple(filter(None, retry.split(",")))
    with one_line_errors():
        curate_flow(settings, reasons)
    finish(settings, json)


@app.command()
def featurize(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Compute 2D, 3D and audio features of the clips in the splits.

    Example: python -m flows featurize --config configs/youcook_japanese.toml --set features.precision=bf16
    """
    from flows.featurize import featurize as featurize_flow

    settings = read_config(config, root, overrides)
    with one_line_errors():
        featurize_flow(settings)
    finish(settings, json)


@app.command()
def finetune(config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None) -> None:
    """Train AVLnet on the train clips, from the weights the configuration names or from scratch.

    Example: python -m flows finetune --config configs/demo.toml --root data/demo
    """
    from flows.finetune import finetune as finetune_flow

    settings = read_config(config, root, overrides)
    with one_line_errors():
        out.print(f"checkpoint: {finetune_flow(settings)}")


@app.command()
def evaluate(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Measure retrieval in both directions with the checkpoint of this configuration.

    Example: python -m flows evaluate --config configs/demo.toml --root data/demo
    """
    from flows.finetune import evaluate as evaluate_flow
    from flows.status import read_retrieval

    settings = read_config(config, root, overrides)
    with one_line_errors():
        evaluate_flow(settings)
    show({"retrieval": read_retrieval(settings.root)}, json)


@app.command()
def pipeline(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Curate, featurize, fine-tune and evaluate.

    Example: python -m flows pipeline --config configs/youcook_japanese.toml
    """
    from flows.pipeline import pipeline as pipeline_flow
    from flows.status import read_retrieval

    settings = read_config(config, root, overrides)
    with one_line_errors():
        pipeline_flow(settings)
    finish(settings, json, retrieval=read_retrieval(settings.root))


@app.command()
def status(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Show the funnel and the failures by reason.

    Example: python -m flows status --root data/demo
    """
    finish(read_config(config, root, overrides), json)


@app.command()
def report(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    videos: Annotated[int, typer.Option(min=0, help="most label strips to show")] = 20,
    compare_networks: Annotated[
        int, typer.Option(min=0, help="videos on which to ask the segmenter's other network; seconds of CPU for each")
    ] = 0,
) -> None:
    """Write ROOT/report.html: figures, and label strips with clips to listen to; needs no server.

    Example: python -m flows report --root data/demo
    """
    from flows.report.build import build_report

    settings = read_config(config, root, overrides)
    with one_line_errors():
        print(build_report(settings, videos, compare_networks))


@app.command()
def verify(root: Annotated[Path, typer.Argument(help="dataset root")]) -> None:
    """Recompute the certificate of the splits from the tables alone.

    Example: python -m flows verify data/demo
    """
    from datasets.certificates import verify_certificate

    problems = verify_certificate(root)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(ExitCode.STOPPED)
    out.print(f"{root}: the splits are what their certificate says")


@app.command()
def demo(
    root: RootOption = "data/demo",
    media: Annotated[Path | None, typer.Option(help="folder with real photographs to show")] = None,
    overrides: SetOption = None,
) -> None:
    """Render a small cooking channel, serve it here, and run the main job on it.

    Example: python -m flows demo --root data/demo
    """
    from flows.small_world import run_demo
    from flows.status import read_retrieval

    settings = read_config(Path(__file__).parents[1] / "configs" / "demo.toml", root, overrides)
    with one_line_errors():
        run_demo(settings, media)
    finish(settings, False, retrieval=read_retrieval(settings.root))
    print(
        f"Everything lies in {settings.root}: channel/ with its truth, media_files/, tables, checkpoints/.\n"
        f"Next: python -m flows evaluate --config configs/demo.toml --root {settings.root}"
    )


def show(frames: dict[str, "pd.DataFrame"], as_json: bool) -> None:
    """Print tables for people, or as one JSON document."""
    from flows.status import fold_retrieval, to_rich

    if as_json:
        records = {title: json_module.loads(frame.to_json(orient="records")) for title, frame in frames.items()}
        print(json_module.dumps(records, ensure_ascii=False))
        return
    for title, frame in frames.items():
        out.print(to_rich(fold_retrieval(frame) if title == "retrieval" else frame, _TITLES[title]))


_TITLES = {
    "funnel": "Funnel",
    "not_ok": "Not ok, by reason",
    "retrieval": "Retrieval in percent: A→V video clips, V→A language",
    "forecast": "What this configuration would cost",
}


def finish(config: Config, as_json: bool, **more: "pd.DataFrame") -> None:
    """Print funnel and failures, and end with code 1 when too many rows failed for an unexpected reason."""
    from flows.status import read_failures, read_funnel, read_notes, unexpected_share

    show({"funnel": read_funnel(config.root), "not_ok": read_failures(config.root), **more}, as_json)
    for note in read_notes(config.root):
        print(f"note: {note}", file=sys.stderr if as_json else sys.stdout)
    if unexpected_share(config.root) > config.run.max_unexpected_share:
        raise typer.Exit(ExitCode.FAILURES_ABOVE_LIMIT)


if __name__ == "__main__":
    app()
