"""Artifacts on Prefect's pages, made through its client.

Prefect's own functions leave a connection open for each artifact; this closes it.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import flow_run

from datasets.releases.layout import list_releases
from datasets.settings import without_secrets
from flows.config import REPORT_FILE, Config
from flows.status import read_failures, read_funnel


def create_artifact(key: str, kind: str, data: Any, description: str) -> UUID:
    """An artifact of the flow run that calls this; of a key Prefect keeps every version and shows the latest.

    Args:
        key: small letters, digits and dashes.
        kind: table (JSON of records), markdown or progress (percent).
        data: what is shown.
        description: in words.
    """
    run_id = UUID(flow_run.get_id())
    wanted = ArtifactCreate(key=key, type=kind, data=data, description=description, flow_run_id=run_id)
    with get_client(sync_client=True) as client:
        return client.create_artifact(wanted).id


def update_artifact(artifact_id: UUID, data: Any, description: str) -> None:
    """Show something else in the same artifact."""
    with get_client(sync_client=True) as client:
        client.update_artifact(artifact_id, ArtifactUpdate(data=data, description=description))


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
    create_artifact(key, "table", frame.to_json(orient="records"), description)


def _address(config: Config, path: str) -> str:
    """On the site that serves the root, or a file of this machine."""
    if config.schedules.site:
        return f"{without_secrets(config.schedules.site).rstrip('/')}/{path}"
    return (Path(config.root).resolve() / path).as_uri()
