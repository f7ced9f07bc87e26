"""The page itself: template, style and script of this folder made into one HTML document."""

import base64
import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from datasets.wording import format_amount, format_clock, format_number
from flows.answers import ANSWERS
from flows.report.figures import POLICY_MEANING
from flows.report.music import LABELS, NEAR_SPEECH_MS
from flows.report.strips import ROW_MS, STRIP_HEIGHT

_FOLDER = Path(__file__).parent
SCRIPTS = ("player.js", "listening.js", "language.js")
SECTIONS = {
    "funnel": "Funnel",
    "not-ok": "Not ok",
    "yields": "Queries",
    "availability": "Still there",
    "clips": "Clips",
    "music": "Speech and music",
    "listening": "Listening sheet",
    "videos": "Label strips",
    "agreement": "Seen while said",
    "look-alikes": "Alike across splits",
    "retrieval": "Retrieval",
    "queries": "Spoken queries",
    "releases": "Releases",
    "provenance": "Provenance",
}
"""In the order of the page: name of the template in sections/, and what the page's navigation calls it."""


def render_page(content: dict[str, Any]) -> str:
    """Fill the report's template; the only script is that of this folder."""
    absent = {
        "yields": not content["yields"],
        "availability": content["availability"].empty,
        "music": not sum(content["label_ms"].values()),
        "videos": not content["strips"],
        "agreement": content["agreement"] is None,
        "look-alikes": not content["look_alikes"],
        "queries": not content["query_groups"],
        "releases": content["releases"].empty,
        "provenance": not content["provenance"],
    }
    script = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return render_template(
        "report.html.jinja",
        **content,
        sections={name: title for name, title in SECTIONS.items() if not absent.get(name)},
        script=script,
        script_digest=digest_script(script),
        labels=LABELS,
        answers=ANSWERS,
        policy_meaning=POLICY_MEANING,
        near_speech_s=NEAR_SPEECH_MS // 1000,
        row_minutes=ROW_MS // 60_000,
        strip_height=STRIP_HEIGHT,
    )


def data_address(kind: str, content: bytes) -> str:
    """A file within the page: the data: address of content of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def digest_script(script: str) -> str:
    """What a page's policy names its only script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def render_template(name: str, folder: Path = _FOLDER, **content: Any) -> str:
    """Fill a template of a folder, with the style that all pages share; all text from tables is escaped."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        cell=partial(format_number, keep_zero=True), clock=format_clock, amount=format_amount, period=_say_period
    )
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    return environment.get_template(name).render(**content, style=style)


def _say_period(days: tuple[str, str]) -> str:
    """First and last day in words; one where they are the same."""
    return f"on {days[0]}" if days[0] == days[1] else f"from {days[0]} to {days[1]}"
