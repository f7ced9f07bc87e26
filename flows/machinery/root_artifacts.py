"""What Prefect's pages show of a root: the funnel, failures by reason, and where report and releases are."""

import json
from pathlib import Path

import pandas as pd

from datasets.releases.layout import list_releases
from flows.config import Config
from flows.machinery.artifacts import create_artifact
from flows.report.links import REPORT_FILE
from flows.status import read_failures, read_funnel


def show_root(config: Config) -> None:
    """Artifacts about the root of the flow run that calls this."""
    root = config.root
    _show_table("funnel", read_funnel(root), f"Funnel of {root}")
    _show_table("not-ok", read_failures(root), f"Not ok, by reason, in {root}")
    if "://" in root:
        return
    if (Path(root) / REPORT_FILE).is_file():
        create_artifact("report", "markdown", f"[report]({_address(config, REPORT_FILE)})", f"Report of {root}")
    releases = list_releases(root)
    if releases:
        link = f"[shards of {releases[-1]}]({_address(config, f'releases/{releases[-1]}/')})"
        create_artifact("shards", "markdown", link, f"Latest release of {root}")


def _show_table(key: str, frame: pd.DataFrame, description: str) -> None:
    create_artifact(key, "table", json.dumps(json.loads(frame.to_json(orient="records"))), description)


def _address(config: Config, path: str) -> str:
    """On the site that serves the root, or a file of this machine."""
    if config.schedules.site:
        return f"{config.schedules.site.rstrip('/')}/{path}"
    return (Path(config.root).resolve() / path).as_uri()
