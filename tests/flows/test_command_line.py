"""How a command ends when it is told to stop."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_command_told_to_stop_says_how_to_go_on_and_ends_with_130(tmp_path, how):
    os.mkfifo(tmp_path / "latest.json")
    command = [sys.executable, "-m", "flows", "verify", str(tmp_path)]
    process = subprocess.Popen(command, cwd=TOP, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with (tmp_path / "latest.json").open(
        "wb"
    ):  # opens when the command reads it, which then waits for what never comes
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "error: interrupted; the same command goes on where this one stopped\n"
