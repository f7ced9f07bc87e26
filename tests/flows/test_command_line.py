"""How a command ends when it is told to stop, or lacks a package."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import typer

from flows.commands.shared import one_line_errors
from flows.machinery import run

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


def test_memory_that_ran_out_is_told_in_one_line_with_what_was_asked_for(capsys):
    with pytest.raises(typer.Exit) as ended, one_line_errors():
        raise MemoryError("Unable to allocate 8 EiB")
    assert ended.value.exit_code == 3
    told = "error: memory ran out (Unable to allocate 8 EiB): stop what else runs here, or lower run.num_workers\n"
    assert capsys.readouterr().err == told


def test_a_package_of_ours_that_lacks_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), one_line_errors():
        importlib.import_module("no_such_package")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git, a program of the system")
def test_the_version_is_read_from_a_checkout_without_writing_there(tmp_path, monkeypatch):
    def git(*words):
        who = ["-c", "user.name=x", "-c", "user.email=x"]
        return subprocess.run(["git", *who, "-C", tmp_path, *words], check=True, capture_output=True, text=True).stdout

    git("init")
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "-m", "x")
    monkeypatch.delenv("CODE_VERSION", raising=False)
    monkeypatch.setattr(run, "__file__", str(tmp_path / "code.py"))
    os.utime(tmp_path / "code.py", (0, 0))  # as a checkout or a copy leaves it: the index would be written anew
    index = (tmp_path / ".git" / "index").read_bytes()
    commit = git("describe", "--always").strip()
    assert run.code_version() == commit and (tmp_path / ".git" / "index").read_bytes() == index
    (tmp_path / "code.py").write_text("2")
    assert run.code_version() == f"{commit}-dirty"
