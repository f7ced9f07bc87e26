"""What a page is of: dataset, release, language, dates, and the pages beside it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.releases.layout import list_releases
from datasets.tables import read_ok, read_run
from flows.config import GALLERY_FILE, RULES_FILE, SEARCH_PAGE, Config


@dataclass(frozen=True)
class Heading:
    """What stands at the top of a page."""

    name: str
    release: str | None
    """The latest version; None before the first release."""
    language: str | None
    """Code of the spoken language asked for; None: any."""
    found: tuple[str, str] | None
    """First and last day on which a video was found."""
    uploaded: tuple[str, str] | None
    """First and last day on which one was uploaded, as far as its site says."""
    pages: dict[str, str]
    """Pages beside this one, by what they are called: path from the root."""

    @property
    def title(self) -> str:
        """Dataset, release and language in one line."""
        return " ".join(filter(None, (self.name, self.release, self.language and f"({self.language})")))


def read_heading(config: Config) -> Heading:
    """Of the root's newest tables: how they were configured, whatever configuration a page is made with."""
    runs = (read_run(config.root, name) or {} for name in ("clips", "videos", "pairs"))
    made: dict[str, Any] = next((run["config"] for run in runs if run.get("config")), {})
    videos = read_ok(config.root, "videos", ["discovered_at", "upload_date"])
    found = pc.min_max(videos["discovered_at"]).as_py()
    releases = list_releases(config.root)
    pages = {
        "spoken queries and what they found": GALLERY_FILE,
        "what the rules leave out": RULES_FILE,
        "search page": SEARCH_PAGE,
    }
    return Heading(
        name=made.get("publish", {}).get("name", config.publish.name),
        release=releases[-1] if releases else None,
        language=made.get("selection", {}).get("language", config.selection.language),
        found=(f"{found['min']:%F}", f"{found['max']:%F}") if found["min"] else None,
        uploaded=_read_days(videos["upload_date"]),
        pages={title: path for title, path in pages.items() if (Path(config.root) / path).is_file()},
    )


def _read_days(days: pa.ChunkedArray) -> tuple[str, str] | None:
    """First and last of the days written as 20261128, as 2026-11-28; a site may write anything else: passed over."""
    ends = pc.min_max(days.filter(pc.match_substring_regex(days, "^[0-9]{8}$"))).as_py()
    if ends["min"] is None:
        return None
    first, last = (re.sub("(....)(..)(..)", r"\1-\2-\3", ends[end]) for end in ("min", "max"))
    return first, last
