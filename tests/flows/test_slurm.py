"""deploy/slurm.sh beside stand-ins for Slurm, Ray and Prefect: what it starts, with what, and what it leaves."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm.sh"
# A server runs until it is told to end; each program notes what it was called with.
STAND_IN = '#!/bin/bash\necho "$(basename "$0") $*" >> "$CALLS"\n'
PROGRAMS = {
    "scontrol": "printf 'n1\\nn2\\nn3\\n'\n",
    "srun": "exec sleep 300\n",
    "ray": "",
    "prefect": "exec sleep 300\n",
    # The command ends once the nodes' programs, which start beside it, have noted their calls.
    "python": 'for _ in $(seq 300); do [ "$(grep -c ^srun "$CALLS")" -ge 2 ] && break; sleep 0.1; done\n'
    'echo "$RAY_ADDRESS $PREFECT_API_URL $PREFECT_API_AUTH_STRING"; exit "${STATUS:-0}"\n',
}


@pytest.fixture
def run(tmp_path):
    for name, body in PROGRAMS.items():
        (tmp_path / name).write_text(STAND_IN + body)
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": f"{tmp_path}/calls",
        "SLURM_JOB_ID": "40007",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_CPUS_PER_TASK": "16",
        "SLURM_GPUS_ON_NODE": "2",
    }

    def run(*command, **more):
        told = subprocess.run(
            [SCRIPT, *command], env={**environment, **more}, capture_output=True, text=True, timeout=60, check=False
        )
        calls = tmp_path / "calls"
        return told, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_a_head_and_the_other_nodes_are_started_and_the_command_knows_them(run, tmp_path):
    told, calls = run(f"{tmp_path}/python", "-m", "flows")
    address, api, password = told.stdout.split()
    assert (told.returncode, address, api) == (0, "n1:20007", "http://n1:20008/api")
    assert len(password) == len("curation:") + 32
    started = [call for call in calls if call.startswith("srun")]
    assert any("--nodelist=n1 ray start --block --num-cpus=16 --num-gpus=2 --head --port=20007" in c for c in started)
    assert any("--nodes=2" in call and "--exclude=n1" in call and "--address=n1:20007" in call for call in started)
    assert any(call.startswith("prefect server start --host n1 --port 20008") for call in calls)


def test_the_exit_code_is_that_of_the_command_and_a_server_of_yours_is_used(run, tmp_path):
    told, calls = run(f"{tmp_path}/python", STATUS="3", PREFECT_API_URL="http://mine/api")
    assert told.returncode == 3 and "http://mine/api" in told.stdout
    assert not [call for call in calls if call.startswith("prefect")]


@pytest.mark.parametrize(("command", "variables"), [((), {}), (("true",), {"SLURM_JOB_ID": ""})])
def test_without_a_command_or_an_allocation_it_says_so_in_one_line(run, command, variables):
    told, calls = run(*command, **variables)
    assert told.returncode != 0 and len(told.stderr.splitlines()) == 1 and not calls
