"""A wrong line of the shell is told as every other error is: in one line."""

import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

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


class OnceCommand(TyperCommand):
    """A command none of whose words is lost: the last of two roots is not taken silently, nor nothing for a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a shell, and refuse an option that is there twice, and an empty value."""
        if not ctx.resilient_parsing:
            values, _, named = self.make_parser(ctx).parse_args(args=list(args))
            for param in self.params:
                name, value = param.opts[0], values.get(str(param.name))
                takes_one = not param.multiple and not getattr(param, "is_flag", False) and param.nargs == 1
                if takes_one and named.count(param) > 1:
                    ctx.fail(f"{name} is given twice, and takes one value")
                if param.default != "" and "" in (value if isinstance(value, list | tuple) else [value]):
                    ctx.fail(f"{name} needs a value, got ''")
        return super().parse_args(ctx, args)
