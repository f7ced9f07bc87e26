"""Commands about operating: doctor, compact, serve."""

from typing import Annotated

import typer

from flows.commands.shared import ConfigOption, JsonOption, RootOption, SetOption, one_line_errors, read_config, show


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

    from flows.config import ConfigError
    from flows.machinery.doctor import CHECKS, examine

    settings = read_config(config, root, overrides)
    with one_line_errors():
        if command not in CHECKS:
            raise ConfigError(f"doctor knows the commands {', '.join(CHECKS)}, got {command!r}")
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
    from flows.machinery.batches import hold_root

    settings = read_config(config, root, overrides)
    with one_line_errors(), hold_root(settings.root):
        rows = [(name, *compact_table(settings.root, name)) for name in COMPACTED]
        show({"parts": pd.DataFrame(rows, columns=["table", "before", "after"])}, json)


def serve(config: ConfigOption = None, root: RootOption = None, overrides: SetOption = None) -> None:
    """Register the scheduled deployments with the Prefect server of PREFECT_API_URL, and run them until interrupted.

    Example: python -m flows serve --config configs/youcook_japanese.toml
    """
    from flows.scheduled.deployments import serve_deployments

    settings = read_config(config, root, overrides)
    with one_line_errors():
        serve_deployments(settings)
