"""Artifacts on Prefect's pages, made through its client.

Prefect's own functions leave a connection open for each artifact; this closes it.
"""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import flow_run


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
