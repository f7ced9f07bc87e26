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
    # Opens when the command reads its configuration, which then waits for what never comes.
    os.mkfifo(tmp_path / "config.toml")
    command = [sys.executable, "-m", "flows", "status", "--config", str(tmp_path / "config.toml")]
    process = subprocess.Popen(command, cwd=TOP, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with (tmp_path / "config.toml").open("wb"):
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "error: interrupted; the same command goes on where this one stopped\n"
