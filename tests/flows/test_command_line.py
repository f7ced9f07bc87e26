"""How a command ends when it is told to stop, or lacks a package."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import typer

from flows.commands.shared import one_line_errors

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


def test_what_is_not_installed_is_told_with_what_brings_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry").__dict__["_registry"], "s3", raising=False)
    with pytest.raises(typer.Exit), one_line_errors():
        fsspec.core.url_to_fs("s3://bucket/root")
    assert capsys.readouterr().err == "error: Install s3fs to access S3: run `make setup-s3`\n"


def test_a_package_of_ours_that_lacks_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), one_line_errors():
        importlib.import_module("no_such_package")
