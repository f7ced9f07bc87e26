"""Write docs/configuration.md from the models of the configuration; --check only says whether it is as it would be."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.settings import OUTSIDE_RECIPE
from flows.config import Config

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
HEAD = """# Configuration

Every setting, as a line `field = value` under its `[stage]` in a TOML file (see `configs/`), or as
`--set stage.field=value` on a command line. Written by `make configuration` from the models in the code.

A changed setting makes what depends on it anew; those marked ○ change how the work is done, not what comes out of it.
"""


def describe(name: str, field: FieldInfo) -> str:
    """One line of a table: name, default with its limits, meaning."""
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    limits = [
        f"{sign} {getattr(limit, kind.lower())}"
        for limit in field.metadata
        for kind, sign in signs.items()
        if type(limit).__name__ == kind
    ]
    mark = " ○" if OUTSIDE_RECIPE in field.metadata else ""
    default = field.get_default(call_default_factory=True)
    shown = "not set" if default is None else f"`{json.dumps(default, default=str, ensure_ascii=False)}`"
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name}`{mark} | {', '.join([shown, *limits]).replace('|', chr(92) + '|')} | {meaning} |"


def list_stages(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """(dotted name, model) of every stage and of the settings within it."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield prefix + name, inner
            yield from list_stages(inner, f"{prefix}{name}.")


def write_page() -> str:
    """The page's text."""
    parts = [HEAD, f"| setting | default | meaning |\n|---|---|---|\n{describe('root', Config.model_fields['root'])}\n"]
    for name, model in list_stages(Config):
        plain = {n: f for n, f in model.model_fields.items() if not isinstance(f.default, BaseModel)}
        about = " ".join((model.__doc__ or "").split())
        lines = "\n".join(describe(n, f) for n, f in plain.items())
        parts.append(f"## [{name}]\n{about}\n\n| setting | default | meaning |\n|---|---|---|\n{lines}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    page = write_page()
    if "--check" not in sys.argv:
        PAGE.write_text(page, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page:
        sys.exit("docs/configuration.md is not what the models say: make configuration")
