"""Killed in each stage and started again, the demo's pipeline ends with the digests of an undisturbed run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from datasets.tables import table_digest
from tests.flows.conftest import CONFIGS, SMALL
from tests.flows.test_pipeline import WORKING_TABLES
from tests.kills import ONE_BY_ONE

TOP = Path(__file__).parents[2]
STAGE_FOLDERS = (
    "discoveries",
    "media_files",
    "segments",
    "clips",
    "splits",
    "features_2d",
    "checkpoints",
    "evaluations",
)


def start_pipeline(root, config):
    overrides = [f"--set={value}" for value in (*SMALL, *ONE_BY_ONE, f"source.watch_url={config.source.watch_url}")]
    command = [sys.executable, "-m", "flows", "pipeline", "--config", str(CONFIGS / "demo.toml"), "--root", str(root)]
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    return subprocess.Popen(
        [*command, *overrides], cwd=TOP, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )


def kill_after_first_file(process, folder):
    while process.poll() is None:
        if any(path.is_file() for path in folder.rglob("*")):
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    return process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_pipeline_killed_in_every_stage_ends_as_an_undisturbed_one(tmp_path, small_root, small_config):
    killed = []
    for table in STAGE_FOLDERS:
        process = start_pipeline(tmp_path, small_config)
        if kill_after_first_file(process, tmp_path / table) == -signal.SIGKILL:
            killed.append(table)
    assert start_pipeline(tmp_path, small_config).wait() == 0
    assert len(killed) >= len(STAGE_FOLDERS) - 1
    for name in WORKING_TABLES:
        assert table_digest(tmp_path, name) == table_digest(small_root, name), name
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("*.part"))
