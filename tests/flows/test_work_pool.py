"""prefect.yaml for a work pool, by the commands of docs/operate.md: deployed, and a run picked up by a worker."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flows.scheduled.deployments import DEPLOYMENTS
from tests.flows.real_server import TOP, in_background, run_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGE = (TOP / "docs" / "operate.md").read_text(encoding="utf-8")
CREATE, DEPLOY, START = (
    shlex.split(line) for line in re.findall(r"^\$ prefect ((?:work-pool|deploy|worker) .*)", PAGE, re.M)
)
RUN = ("deployment", "run", "housekeeping/housekeeping", "--watch", "--watch-timeout", "300")


def prefect(environment, *words):
    """Output of Prefect's own command line, which asks nothing where nobody can answer."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    done = subprocess.run(
        command,
        cwd=TOP,
        env={**os.environ, **environment, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-3000:]
    return done.stdout


def test_the_deployments_of_the_file_are_deployed_and_a_worker_runs_one(tmp_path):
    with run_server(tmp_path, CURATION_HOME=str(TOP)) as environment:
        prefect(environment, *CREATE)
        prefect(environment, *DEPLOY)
        listed = prefect(environment, "deployment", "ls")
        assert all(name in listed for name in DEPLOYMENTS)
        config = {"root": str(tmp_path / "root"), "schedules": {"keep_days": 1}}
        with in_background(["prefect", *START], environment, tmp_path / "worker.log"):
            words = (*RUN, "--param", f"config={json.dumps(config)}")
            told = prefect(environment, *words)
        assert "finished successfully" in told, told + Path(tmp_path / "worker.log").read_text()
