"""A training killed by the system goes on and ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "train_in_processes.py"


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(SCRIPT), str(folder), "4", "recompute"], env=environment)


@pytest.mark.slow  # three starts of torch
def test_a_run_killed_in_mid_epoch_ends_with_the_same_weights(tmp_path):
    assert start(tmp_path / "whole").wait(timeout=200) == 0
    killed = start(tmp_path / "killed")
    while not (tmp_path / "killed" / "resume.pt").exists():
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    history = tmp_path / "killed" / "history.csv"
    assert not history.exists() or len(history.read_text().splitlines()) < 3, "killed too late to show anything"
    assert start(tmp_path / "killed").wait(timeout=200) == 0
    for name in ("avlnet.pth", "resume.pt"):
        one, two = (torch.load(tmp_path / folder / name, weights_only=True) for folder in ("whole", "killed"))
        one, two = (state.get("model", state) for state in (one, two))
        assert all(torch.equal(value, two[key]) for key, value in one.items())
