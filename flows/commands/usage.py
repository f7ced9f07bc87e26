"""A wrong line of the shell is told as every other error is: in one line."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from datasets.outside_text import one_line


class OneLineGroup(TyperGroup):
    """The commands, without the box that typer draws around what lacks, is unknown or cannot be read."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command of the words of a shell, and end with its code."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except typer.TyperException as error:
            context = getattr(error, "ctx", None)
            told = one_line(error.format_message().replace("Value error, ", "").strip(" ."), 500)
            if told:  # nothing where no word at all was given: the help has been printed
                help_of = context.command_path if context is not None else options.get("prog_name", "python -m flows")
                print(f"error: {told}: see `{help_of} --help`", file=sys.stderr)
            code = error.exit_code
        sys.exit(code)
