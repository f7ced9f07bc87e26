"""compose.yaml without containers: its own commands, environment and health checks, as processes of this machine."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.flows.real_server import TOP, free_port, in_background, wait_for
from tests.flows.test_postgres import PASSWORD, PROGRAMS, database, query

__all__ = ["database"]  # the fixture: a real PostgreSQL
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CONFIG = """
root = {root}
[schedules]
curate_daily = ""
publish = ""
pipeline = ""
refresh_availability = ""
housekeeping = ""
"""
START_S = {"server": 240, "worker": 240}
"""What compose.yaml's start_period and retries allow the server; the worker loads all flows."""


@pytest.fixture
def composed(database, tmp_path):
    """(services, asks): compose.yaml with its variables filled in, and its host names as addresses of this machine."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(root=json.dumps(str(tmp_path / "root"))))
    values = {"POSTGRES_PASSWORD": PASSWORD, "PREFECT_PASSWORD": "planted-prefect-4712", "CONFIG": str(config)}
    port = str(free_port())
    where = {"database:5432": urlsplit(database).netloc.rpartition("@")[2], "server:4200": f"127.0.0.1:{port}",
             "127.0.0.1:4200": f"127.0.0.1:{port}"}  # fmt: skip
    text = re.sub(r"\$\{(\w+)(?::[?-]([^}]*))?\}", lambda m: values.get(m[1], m[2]), (TOP / "compose.yaml").read_text())
    for name, address in where.items():
        text = text.replace(name, address)
    services = yaml.safe_load(text)["services"]
    entrypoint = services["server"]["entrypoint"]
    entrypoint[entrypoint.index("4200")], entrypoint[entrypoint.index("0.0.0.0")] = port, "127.0.0.1"
    return services


def is_well(service, database):
    """Whether the health check of a service passes, in the time that it is given."""
    kind, *words = service["healthcheck"]["test"]
    words = shlex.split(words[0]) if kind == "CMD-SHELL" else words
    programs = {"python": sys.executable, "pg_isready": str(PROGRAMS[-1] / "pg_isready")}
    address = urlsplit(database)
    limit_s = float(service["healthcheck"]["timeout"].removesuffix("s"))
    try:
        return subprocess.run(
            [programs[words[0]], *words[1:]], env={**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(address.port)},
            capture_output=True, check=False, timeout=limit_s,
        ).returncode == 0  # fmt: skip
    except subprocess.TimeoutExpired:
        return False


def test_the_composed_services_start_are_well_ask_for_the_password_and_run_a_flow(composed, database, tmp_path):
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_RUNNER_POLL_FREQUENCY": "2"}
    server, worker = composed["server"], composed["worker"]
    api = worker["environment"]["PREFECT_API_URL"]
    password = tuple(worker["environment"]["PREFECT_API_AUTH_STRING"].split(":", 1))
    assert is_well(composed["database"], database) and not is_well(server, database)
    with in_background(server["entrypoint"], home | server["environment"], tmp_path / "server.log"):
        wait_for(lambda: is_well(server, database), START_S["server"], "the server's health check passes")
        assert httpx.post(f"{api}/deployments/filter", json={}, timeout=30).status_code == 401
        log = tmp_path / "worker.log"
        with in_background(["flows", *worker["command"]], home | worker["environment"], log) as process:
            wait_for(lambda: is_well(worker, database), START_S["worker"], "the worker's health check passes")

            def deployments():
                found = httpx.post(f"{api}/deployments/filter", json={}, auth=password, timeout=30).json()
                return {one["name"]: one["id"] for one in found}

            wait_for(lambda: len(deployments()) == 6, START_S["worker"], f"deployments are registered: {log}")
            url = f"{api}/deployments/{deployments()['housekeeping']}/create_flow_run"
            run_id = httpx.post(url, json={"state": {"type": "SCHEDULED"}}, auth=password, timeout=30).json()["id"]

            def ended():
                run = httpx.get(f"{api}/flow_runs/{run_id}", auth=password, timeout=30).json()
                return run["state_type"] if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else ""

            assert wait_for(ended, 240, f"a run ends: {log}") == "COMPLETED"
            # Prefect marks a run as cancelled whose process has not quite ended when it is told to stop.
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            wait_for(lambda: not children.read_text().split(), 60, "the run's process ends")
            assert worker["stop_grace_period"] == "2m"
            process.send_signal(signal.SIGTERM)  # as `docker compose stop`
            process.wait(120)
    runs = query(database, "select state_type from flow_run")
    assert [str(run["state_type"]) for run in runs] == ["COMPLETED"]
    for name in ("server.log", "worker.log"):
        assert "planted-" not in (tmp_path / name).read_text()
