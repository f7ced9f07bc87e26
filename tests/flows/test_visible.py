"""Whatever a command prints or logs, the terminal and Prefect's pages only show it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\x9b31md\u202ee\rf"
SHOWN = r"a\x1b[2Jb\x1b]0;title\x07c\x9b31md\u202ee\rf"


def test_a_log_line_is_one_line_whoever_logs_it(caplog):
    with caplog.at_level("INFO"):
        for name in ("curation", "extract.site.session", "some.library"):
            logging.getLogger(name).warning("found %s", HOSTILE + "\n12:00:00 ERROR forged")
    assert [record.getMessage() for record in caplog.records] == [rf"found {SHOWN}\n12:00:00 ERROR forged"] * 3


def test_the_traceback_of_a_log_line_shows_what_the_site_wrote(caplog):
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("curation").exception("unexpected")
    assert f"ValueError: {SHOWN}" in caplog.text and "\x1b" not in caplog.text and "\u202e" not in caplog.text


@pytest.mark.parametrize("way", ["print(sys.argv[1])", "raise RuntimeError(sys.argv[1])", "warnings.warn(sys.argv[1])",
                                 "rich.print(sys.argv[1])", "typer.echo(sys.argv[1])"])  # fmt: skip
def test_whatever_a_command_prints_is_shown(way):
    begin = "import rich, sys, typer, warnings\nfrom flows.machinery import console\nconsole.show_everything()\n"
    command = [sys.executable, "-c", begin + way, HOSTILE]
    done = subprocess.run(command, cwd=TOP, capture_output=True, check=False, env={**os.environ, "FORCE_COLOR": "1"})
    told = (done.stdout + done.stderr).decode()
    assert "title" in told and r"\x1b[1" not in told, told  # nor an escape of a colour of ours
    assert all(c.isprintable() or c in "\n\t" for c in told), told


def test_an_error_of_a_command_names_what_it_was_given_and_nothing_obeys_it(tmp_path):
    command = [sys.executable, "-m", "flows", "verify", str(tmp_path / HOSTILE)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, check=False)
    told = (done.stdout + done.stderr).decode()
    assert r"\x1b[2Jb" in told
    assert all(c.isprintable() or c in "\n\t" for c in told), told
