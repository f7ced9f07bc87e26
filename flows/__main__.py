"""The command line: `python -m flows COMMAND`."""

import logging
import os
import sys
import tomllib
from typing import Annotated

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

from datasets.wheels import CHECKOUT
from flows.commands import curation, finding, operating, releases, training
from flows.commands.demo import demo
from flows.commands.shared import one_line_errors
from flows.commands.usage import OnceCommand, OneLineGroup
from flows.machinery.console import show_everything
from flows.machinery.run import code_version
from flows.machinery.stopping import end_soon_when_told

COMMANDS = (
    demo,
    curation.curate,
    curation.pairs,
    curation.featurize,
    curation.transcribe,
    curation.describe,
    curation.agree,
    curation.pipeline,
    training.pretrain,
    training.finetune,
    training.evaluate,
    training.experiment,
    training.ablate,
    training.import_original,
    training.export_original,
    releases.publish,
    releases.verify,
    releases.regenerate,
    releases.takedown,
    releases.am_i_in,
    finding.search,
    finding.search_page,
    operating.status,
    operating.report,
    operating.doctor,
    operating.compact,
    operating.inspect,
    operating.diff,
    operating.serve,
)

app = typer.Typer(cls=OneLineGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in COMMANDS:
    # The id of a video may begin with a dash.
    settings = {"ignore_unknown_options": command is operating.inspect}
    app.command(cls=OnceCommand, context_settings=settings)(one_line_errors()(command))


def show_version(is_asked: bool) -> None:
    """Print name, version and commit, and end."""
    if is_asked:
        with (CHECKOUT / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file)["project"]
        print(f"{project['name']} {project['version']} ({code_version()})")
        raise typer.Exit


@app.callback()
def show_log(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="print name, version and commit")
    ] = False,
) -> None:
    """Curate narrated video into audio-visual features, and fine-tune AVLnet on them."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    for name in ("curation", "model"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)


COMPLETION_VARIABLE = "_FLOWS_COMPLETE"
"""What `deploy/completion.bash` sets to be told how a line may go on."""


def main() -> None:
    """Run a command, or say how a line of a shell may go on."""
    if sys.getfilesystemencoding() != "utf-8":  # LC_ALL=C and PYTHONUTF8=0: no file could be named in Japanese
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONUTF8": "1"})
    if COMPLETION_VARIABLE in os.environ:
        # Typer's own options for it need an installed program, and this is `python -m flows`.
        completion_init()
    else:
        end_soon_when_told()
        show_everything()
    app(complete_var=COMPLETION_VARIABLE)


if __name__ == "__main__":
    main()
