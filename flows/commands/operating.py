"""Commands that look after a root, or look at one: status, report, doctor, compact, inspect, diff, serve."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from datasets.suggestions import did_you_mean
from flows.commands.shared import (
    ConfigOption,
    JsonOption,
    RootOption,
    SetOption,
    finish,
    print_json,
    show,
)
from flows.config import ConfigError, load_config


def status(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    by: Annotated[
        str | None, typer.Option("--by", help="a column of the list of queries: show also what each of its values gave")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the funnel and the failures by reason; with a configuration, what its plan still takes.

    Example: python -m flows status --config configs/demo.toml --root data/demo

    Example: python -m flows status --config configs/youcook_japanese.toml --by technique
    """
    from datasets.queries import list_facets
    from flows.machinery.forecast import forecast_rest
    from flows.machinery.roots import check_has_tables
    from flows.status import read_yields

    settings = load_config(config, root, overrides)
    check_has_tables(settings.root)
    facets = list_facets(settings.root)
    if by is not None and by not in facets:
        had = ", ".join(facets) or "no facets, which are the columns beside `query` in a list of them"
        raise ConfigError(f"--by {by}: the queries of {settings.root} have {had}{did_you_mean(by, facets)}")
    more = {"yields": read_yields(settings.root, by)} if by is not None else {}
    # Without a file the plan is not this root's.
    finish(settings, json, **more, **({"rest": forecast_rest(settings)} if config else {}))


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
    from flows.answers import keep_answers
    from flows.report.build import build_report, read_precision

    settings = load_config(config, root, overrides)
    for path in listened or ():
        keep_answers(settings.root, path)
    print(build_report(settings, videos, compare_networks))
    if precision := read_precision(settings.root):
        print(precision.text, file=sys.stderr)


def doctor(
    command: Annotated[str, typer.Argument(help="the command to look at the machine for; all when not given")] = "all",
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Show what this machine has and lacks for a command, and what mends it.

    Ends with 0 when nothing is amiss, 1 with warnings, 3 with errors. Every flow asks the same before it starts.

    Example: python -m flows doctor curate --config configs/demo.toml --root data/demo
    """
    import pandas as pd

    from flows.machinery.doctor import CHECKS, examine

    settings = load_config(config, root, overrides)
    if command not in CHECKS:
        raise ConfigError(
            f"doctor knows the commands {', '.join(CHECKS)}, got {command!r}{did_you_mean(command, CHECKS)}"
        )
    findings = examine(command, settings)
    rows = [(one.check, one.severity.name.lower(), one.found, one.mend) for one in findings]
    show({"machine": pd.DataFrame(rows, columns=["check", "is", "found", "mend"])}, json)
    raise typer.Exit(max(one.severity for one in findings))


def compact(
    config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Merge the small parts of every table: the same rows in fewer files.

    Example: python -m flows compact --root data/root
    """
    import pandas as pd

    from datasets.compaction import COMPACTED, compact_table
    from flows.machinery.locks import hold_root
    from flows.machinery.roots import check_has_tables

    settings = load_config(config, root, overrides)
    check_has_tables(settings.root)
    with hold_root(settings.root):
        rows = [(name, *compact_table(settings.root, name)) for name in COMPACTED]
        show({"parts": pd.DataFrame(rows, columns=["table", "before", "after"])}, json)


def inspect(
    item: Annotated[str, typer.Argument(metavar="ID", help="id of a video or a clip, or a watch address")],
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Show everything that the tables of a root say of one video or clip.

    Example: python -m flows inspect JebrlOF89Wm --root data/demo
    """
    from flows.finding.lookup import describe_item, read_item
    from flows.machinery.roots import check_has_tables

    settings = load_config(config, root, overrides)
    check_has_tables(settings.root)
    found = read_item(settings, item)
    if json:
        print_json(found)
    else:
        show({item: describe_item(found)}, as_json=False)


def diff(
    a: Annotated[str, typer.Argument(metavar="ROOT_A", help="a dataset root")],
    b: Annotated[str, typer.Argument(metavar="ROOT_B", help="another one")],
    json: JsonOption = False,
) -> None:
    """Show how two roots differ: settings, counts, reasons, clips gained and lost, retrieval.

    Example: python -m flows diff data/demo data/demo
    """
    from flows.machinery.roots import check_has_tables
    from flows.report.comparison import compare_roots, fold_difference

    for root in (a, b):
        check_has_tables(root)
    found = compare_roots(a, b)
    if not json:
        print(f"A: {a}\nB: {b}")
        found["retrieval"] = fold_difference(found["retrieval"])
        found = {title: frame for title, frame in found.items() if not frame.empty}
    show({f"difference_{title}": frame for title, frame in found.items()}, json)


def serve(config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None) -> None:
    """Register the scheduled deployments with the Prefect server of PREFECT_API_URL, and run them until interrupted.

    Example: python -m flows serve --config configs/youcook_japanese.toml
    """
    from flows.scheduled.deployments import serve_deployments

    settings = load_config(config, root, overrides)
    serve_deployments(settings)
