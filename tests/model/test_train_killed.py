"""A training killed by the system goes on in mid-epoch and ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "train_in_processes.py"


def run(folder: Path, recipe: str, kill_after: int = 0) -> tuple[int, list[int]]:
    """Exit code and the steps that were taken."""
    command = [sys.executable, str(SCRIPT), str(folder), "4", "recompute", recipe, str(kill_after)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    code = process.wait(timeout=200)
    steps = folder / f"steps-{process.pid}.txt"
    return code, [int(step) for step in steps.read_text().split()]


@pytest.mark.slow  # three starts of torch
@pytest.mark.parametrize("recipe", ["upstream", "proper"])
def test_a_run_killed_in_mid_epoch_goes_on_there_and_ends_with_the_same_weights(tmp_path, recipe):
    assert run(tmp_path / "whole", recipe) == (0, [1, 2, 3, 4, 5, 6])
    # Epochs of three steps, the state written every two: killed after the second epoch's second step.
    assert run(tmp_path / "killed", recipe, kill_after=5) == (-signal.SIGKILL, [1, 2, 3, 4, 5])
    assert run(tmp_path / "killed", recipe) == (0, [5, 6])
    for name in ("avlnet.pth", "resume.pt"):
        one, two = (torch.load(tmp_path / folder / name, weights_only=True) for folder in ("whole", "killed"))
        one, two = (state.get("model", state) for state in (one, two))
        assert all(torch.equal(value, two[key]) for key, value in one.items())
    one, two = ((tmp_path / folder / "history.csv").read_text() for folder in ("whole", "killed"))
    assert one == two
