"""The page itself: template, style and script of this folder made into one HTML document."""

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flows.answers import ANSWERS
from flows.report.figures import POLICY_MEANING
from flows.report.music import LABELS, NEAR_SPEECH_MS
from flows.report.strips import ROW_MS, STRIP_HEIGHT, format_clock

_FOLDER = Path(__file__).parent
SCRIPTS = ("player.js", "listening.js")


def render_page(content: dict[str, Any]) -> str:
    """Fill the report's template; the only script is that of this folder."""
    script = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return render_template(
        "report.html.jinja",
        **content,
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        labels=LABELS,
        answers=ANSWERS,
        policy_meaning=POLICY_MEANING,
        near_speech_s=NEAR_SPEECH_MS // 1000,
        row_minutes=ROW_MS // 60_000,
        strip_height=STRIP_HEIGHT,
    )


def render_template(name: str, **content: Any) -> str:
    """Fill a template of this folder, with the style that all pages share; all text from tables is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=format_cell, clock=format_clock, amount=format_amount)
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    return environment.get_template(name).render(**content, style=style)


def format_cell(value: Any) -> str:
    """A number with separators, floats with one decimal, nothing for what is absent."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_amount(ms: int) -> str:
    """A length in the unit that suits it: seconds to 10 minutes, minutes to 10 hours, then hours."""
    if ms < 600_000:
        return f"{ms / 1000:,.0f} s"
    return f"{ms / 60_000:,.0f} min" if ms < 36_000_000 else f"{ms / 3_600_000:,.1f} h"
