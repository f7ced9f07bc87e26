"""Commands that fill a root: curate, pairs, featurize, pipeline."""

import logging
from typing import Annotated

import typer

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
from flows.config import Config
from flows.machinery.server import reserve_server, server_address, start_server


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
    from flows.status import read_reasons

    with one_line_errors():
        reasons = read_reasons(retry)
    if dry_run:
        from flows.machinery.forecast import forecast_curation

        with one_line_errors():
            show({"forecast": forecast_curation(settings)}, json)
        return
    with one_line_errors():
        if not check_availability:
            _curate(settings, reasons)
        else:
            start_server()
            from flows.machinery.doctor import require
            from flows.stages import availability

            require("check-availability", settings)
            availability.check_availability(settings, reasons)
    finish(settings, json)


def _curate(config: Config, retry: tuple[str, ...]) -> None:
    """The flow where there is something to do, or a configured server whose pages are to show every run."""
    start = reserve_server() if server_address() is None else None
    from flows.machinery.doctor import require
    from flows.machinery.run import has_work
    from flows.stages.curate import curate, curate_root

    if start is not None:
        if not has_work(curate_root, config, retry):
            logging.getLogger("curation").info("nothing is left to do in %s", config.root)
            return
        start()
    require("curate", config)
    curate(config, retry)


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
    settings = read_config(config, root, overrides)
    from flows.status import read_reasons

    with one_line_errors():
        reasons = read_reasons(retry)
    start_server()
    from flows.machinery.doctor import require
    from flows.stages.pairs import fill_pairs

    with one_line_errors():
        require("pairs", settings)
        fill_pairs(settings, reasons)
    finish(settings, json)


def featurize(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Compute 2D, 3D and audio features of the clips in the splits.

    Example: python -m flows featurize --config configs/youcook_japanese.toml --set features.precision=bf16
    """
    settings = read_config(config, root, overrides)
    start_server()
    from flows.machinery.doctor import require
    from flows.stages.featurize import featurize as featurize_flow

    with one_line_errors():
        require("featurize", settings)
        featurize_flow(settings)
    finish(settings, json)


def transcribe(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: Annotated[str, typer.Option(help="reasons to do again: media_missing")] = "",
    json: JsonOption = False,
) -> None:
    """Write down what is said in the clips of the splits, by a Whisper model of yours (optional).

    Example: python -m flows transcribe --config configs/demo.toml --set transcripts.model=models/whisper-base
    """
    settings = read_config(config, root, overrides)
    start_server()
    from flows.machinery.doctor import require
    from flows.stages.transcribe import transcribe as transcribe_flow

    with one_line_errors():
        require("transcribe", settings)
        transcribe_flow(settings, tuple(filter(None, retry.split(","))))
    finish(settings, json)


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
    settings = read_config(config, root, overrides)
    from flows.status import read_reasons, read_retrieval

    with one_line_errors():
        reasons = read_reasons(retry)
    start_server()
    from flows.machinery.doctor import require
    from flows.report.gallery import build_gallery
    from flows.stages.pipeline import pipeline as pipeline_flow

    with one_line_errors():
        require("pipeline", settings)
        pipeline_flow(settings, reasons)
        build_gallery(settings)
    finish(settings, json, retrieval=read_retrieval(settings.root))
