"""The documentation's commands: every one is run, but for those that need YouTube, a GPU or a set-up."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.__main__ import app

TOP = Path(__file__).parents[2]
PAGES = sorted([TOP / "README.md", *(TOP / "docs").glob("*.md")])
BLOCK = re.compile(r"(?P<needs><!-- needs: [a-z ]+ -->\n)?```console\n(?P<text>.*?)```", re.DOTALL)


def commands():
    """(page, command, needs) of every console line that begins with `$ `."""
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            for line in block["text"].splitlines():
                if line.startswith("$ "):
                    yield page.name, line[2:].split("  #")[0].strip(), bool(block["needs"])


RUNNABLE = [(page, command) for page, command, needs in commands() if not needs]


@pytest.mark.parametrize(("page", "command"), [c for c in RUNNABLE if c[1].startswith("make")])
def test_make_targets_in_the_documentation_exist(page, command):
    done = subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=TOP, capture_output=True, check=False)
    assert done.returncode == 0, f"{page}: {command}"


@pytest.mark.parametrize(("page", "command"), [c for c in RUNNABLE if c[1].startswith("python -m flows")])
def test_commands_in_the_documentation_run(page, command, small_root, small_config, monkeypatch):
    monkeypatch.chdir(TOP)
    sizes = [f"--set={stage}.{name}={value}" for stage, name, value in small_settings(small_config)]
    words = [small_root if word == "data/demo" else word for word in shlex.split(command)[3:]]
    needs_config = words[0] not in ("--help", "status", "demo") and "configs/demo.toml" in words
    result = CliRunner().invoke(app, [*words, *(sizes if needs_config else [])])
    assert result.exit_code == 0, f"{page}: {command}\n{result.output}\n{result.exception}"


def small_settings(config):
    """What makes the demo's configuration the small one of the tests."""
    yield "source", "watch_url", config.source.watch_url
    for stage in ("splits", "train"):
        for name, value in getattr(config, stage).model_dump(exclude_unset=True).items():
            if not isinstance(value, str):
                yield stage, name, list(value) if isinstance(value, tuple) else value


def test_every_command_of_the_program_has_help_with_an_example():
    for command in app.registered_commands:
        assert "Example: python -m flows" in (command.callback.__doc__ or ""), command.callback


def test_every_other_console_command_says_what_it_needs():
    unknown = [c for c in RUNNABLE if not c[1].startswith(("make", "python -m flows"))]
    assert not unknown
