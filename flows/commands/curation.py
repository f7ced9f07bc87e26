"""Commands that fill a root: curate, pairs, featurize, transcribe, describe, agree, pipeline."""

from typing import Annotated, Literal

import typer

from flows.commands.own_material import settings_of_place
from flows.commands.running import run_flow
from flows.commands.shared import (
    ConfigOption,
    JsonOption,
    PartOption,
    RetryOption,
    RootOption,
    SetOption,
    finish,
    read_retry,
    refuse_mistyped,
    show,
)
from flows.config import ConfigError, load_config
from flows.machinery.server import reserve_server

PlaceOption = Annotated[
    str | None,
    typer.Option("--from", help="media files of your own: a folder; or a list: .csv .tsv .jsonl .parquet .txt"),
]
ClipsOption = Annotated[
    Literal["found", "given"] | None, typer.Option(help="given: cut exactly the list's times, segment nothing")
]


def curate(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: RetryOption = "",
    check_availability: Annotated[
        bool, typer.Option("--check-availability", help="only ask which known videos can still be had; no download")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print hours, disk and requests; do nothing")] = False,
    place: PlaceOption = None,
    column: Annotated[str | None, typer.Option(help="of a list: the column that names the videos")] = None,
    clips: ClipsOption = None,
    scale: Annotated[
        bool, typer.Option("--scale", help="too few clips: draw a proportionally smaller set (splits.scale=true)")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Search, select, download, segment, clip and split.

    Example: python -m flows curate --config configs/youcook_japanese.toml --dry-run

    Example: python -m flows curate --from my_videos --root data/mine --scale
    """
    if place is None and (column or clips):
        raise ConfigError("--column and --clips say how a list is read: name it by --from LIST")
    source = settings_of_place(place, column, clips) if place is not None else []
    settings = load_config(config, root, [*source, *(overrides or []), *(["splits.scale=true"] if scale else [])])
    reasons = read_retry(retry)
    if dry_run:
        from flows.machinery.checks import check_media_folder, check_root
        from flows.machinery.doctor import stop_for
        from flows.machinery.forecast import forecast_curation

        for check in (check_root, check_media_folder):
            stop_for([check(settings)])
        show({"forecast": forecast_curation(settings)}, json)
        return
    if check_availability:
        refuse_mistyped(settings)
    start = reserve_server()
    from flows.stages import availability
    from flows.stages import curate as curation

    asking = (availability.check_availability, availability.check_videos)
    curating = (curation.curate, curation.curate_root)
    run_flow(start, *(asking if check_availability else curating), settings, retry=reasons)
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
    settings = load_config(config, root, overrides)
    reasons = read_retry(retry)
    start = reserve_server()
    from flows.stages.pairs import fill_pairs, write_pairs

    run_flow(start, fill_pairs, write_pairs, settings, retry=reasons)
    finish(settings, json)


def _within_part(overrides: list[str] | None, part: str | None) -> list[str]:
    return [*(overrides or []), *([f"run.part={part}"] if part else [])]


def featurize(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    part: PartOption = None,
    json: JsonOption = False,
) -> None:
    """Compute 2D, 3D and audio features of the clips in the splits.

    Example: python -m flows featurize --config configs/youcook_japanese.toml --set features.precision=bf16

    Example: python -m flows featurize --config configs/youcook_japanese.toml --part 3/16
    """
    settings = load_config(config, root, _within_part(overrides, part))
    refuse_mistyped(settings)
    start = reserve_server()
    from flows.stages.featurize import compute_features
    from flows.stages.featurize import featurize as featurize_flow

    run_flow(start, featurize_flow, compute_features, settings)
    finish(settings, json)


def transcribe(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: Annotated[str, typer.Option(help="reasons to do again: media_missing")] = "",
    part: PartOption = None,
    json: JsonOption = False,
) -> None:
    """Write down what is said in the clips of the splits, by a Whisper model of yours (optional).

    Example: python -m flows transcribe --config configs/demo.toml --set transcripts.model=models/whisper-base
    """
    settings = load_config(config, root, _within_part(overrides, part))
    reasons = read_retry(retry)
    refuse_mistyped(settings)
    start = reserve_server()
    from flows.stages.transcribe import transcribe as transcribe_flow
    from flows.stages.transcribe import transcribe_root

    run_flow(start, transcribe_flow, transcribe_root, settings, retry=reasons)
    finish(settings, json)


def describe(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: RetryOption = "",
    json: JsonOption = False,
) -> None:
    """Measure what each clip looks and sounds like: stills, black frames and bars, level, clipping, speech and music.

    Example: python -m flows describe --config configs/demo.toml --root data/demo
    """
    settings = load_config(config, root, overrides)
    reasons = read_retry(retry)
    refuse_mistyped(settings)
    start = reserve_server()
    from flows.stages.describe import describe as describe_flow
    from flows.stages.describe import describe_clips

    run_flow(start, describe_flow, describe_clips, settings, retry=reasons)
    from flows.machinery.forecast import forecast_rules
    from flows.status import read_qualities

    more = {"rules": forecast_rules(settings)} if settings.filters.rules else {}
    finish(settings, json, qualities=read_qualities(settings.root), **more)


def agree(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Score whether what is said in each clip belongs to what is seen, by its features (optional).

    Example: python -m flows agree --config configs/demo.toml --root data/demo
    """
    settings = load_config(config, root, overrides)
    refuse_mistyped(settings)
    start = reserve_server()
    from flows.stages.agree import agree as agree_flow
    from flows.stages.agree import score_clips

    run_flow(start, agree_flow, score_clips, settings)
    from flows.status import read_agreements

    finish(settings, json, agreements=read_agreements(settings.root))


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
    settings = load_config(config, root, overrides)
    reasons = read_retry(retry)
    start = reserve_server()
    from flows.report.gallery import build_gallery
    from flows.stages.pipeline import do_all
    from flows.stages.pipeline import pipeline as pipeline_flow
    from flows.status import read_retrieval

    run_flow(start, pipeline_flow, do_all, settings, retry=reasons)
    build_gallery(settings)
    finish(settings, json, retrieval=read_retrieval(settings.root))
