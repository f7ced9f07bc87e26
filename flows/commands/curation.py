"""Commands that fill a root: curate, pairs, featurize, pipeline."""

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
    from flows.report.gallery import build_gallery
    from flows.stages.pipeline import pipeline as pipeline_flow
    from flows.status import read_reasons, read_retrieval

    settings = read_config(config, root, overrides)
    with one_line_errors():
        require("pipeline", settings)
        pipeline_flow(settings, read_reasons(retry))
        build_gallery(settings)
    finish(settings, json, retrieval=read_retrieval(settings.root))
