"""Checks of what runs beside the commands: Prefect's server, and the cluster that batches go to."""

import importlib.util
import os
from functools import partial
from pathlib import Path

import httpx
from prefect.settings import PREFECT_API_URL

from flows.config import Config
from flows.machinery.findings import Finding, Severity
from flows.machinery.runners import stages_on_ray

_TIMEOUT_S = 20


def check_prefect(_: Config) -> Finding:
    """Can the Prefect API be reached?"""
    found = partial(Finding, "Prefect API")
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return found(Severity.OK, "PREFECT_API_URL is not set: a temporary server starts with each command, 20 to 80 s")
    try:
        httpx.get(f"{address}/health", timeout=_TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        mend = "prefect server start, or unset PREFECT_API_URL"
        return found(Severity.ERROR, f"{address} does not answer: {error}", mend)
    return found(Severity.OK, f"{address} answers")


def check_left_servers(_: Config) -> Finding:
    """Has a command that was killed left Prefect's temporary server behind? Linux tells, other systems do not."""
    found = partial(Finding, "servers left behind")
    if left := sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _is_left_server(folder)):
        mend = f"kill {' '.join(map(str, left))}"
        return found(Severity.WARNING, f"{len(left)} of Prefect's temporary servers outlived their command", mend)
    return found(Severity.OK, "none")


def _is_left_server(folder: Path) -> bool:
    try:
        is_temporary = b"PREFECT__SERVER_EPHEMERAL=1" in (folder / "environ").read_bytes().split(b"\0")
        parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        return is_temporary and parent == "1" and b"prefect.server.api.server" in (folder / "cmdline").read_bytes()
    except OSError:  # ended meanwhile, or somebody else's
        return False


def check_runner(config: Config) -> Finding:
    """Is there what batches on a cluster need: Ray, and a Prefect server that every node reaches?"""
    found = partial(Finding, "task runner")
    if not stages_on_ray(config):
        return found(Severity.OK, "batches are done on this machine")
    if importlib.util.find_spec("prefect_ray") is None:
        return found(Severity.ERROR, 'run.runner = "ray" needs prefect-ray, which is not installed', "make setup")
    if not PREFECT_API_URL.value():
        told = 'run.runner = "ray" needs a Prefect server that every node reaches, and PREFECT_API_URL is not set'
        mend = "prefect server start --host 0.0.0.0, then export PREFECT_API_URL=http://THIS_MACHINE:4200/api"
        return found(Severity.ERROR, told, mend)
    return found(Severity.OK, f"segment and featurize on Ray ({config.run.ray_address or 'the cluster found here'})")
