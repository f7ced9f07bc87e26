"""The documentation's commands: every one is run, but for those that need YouTube, a GPU or a set-up."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.stages.describe
from datasets.schemas import TABLES
from datasets.tables import read_table
from flows.__main__ import app
from flows.commands.demo import SITE_VARIABLE
from flows.config import Config
from flows.machinery.checks import Severity

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
def test_commands_in_the_documentation_run(page, command, small_root, small_words, monkeypatch):
    monkeypatch.chdir(TOP)
    monkeypatch.setattr(flows.stages.describe, "find_models", dict)  # as the page has it, before make weights-describe
    words = [re.sub("^data/demo", small_root, word) for word in shlex.split(command)[3:]]
    needs_config = words[0] not in ("--help", "status", "demo") and "configs/demo.toml" in words
    result = CliRunner().invoke(app, [*words, *(small_words if needs_config else [])])
    assert result.exit_code == 0, f"{page}: {command}\n{result.output}\n{result.exception}"


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_every_page_stands_in_the_list_of_pages(page):
    assert f"| [docs/{page.name}](docs/{page.name}) |" in (TOP / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "command"), [c[:2] for c in commands() if c[1].startswith("python -m flows doctor")])
def test_doctor_answers_for_any_machine(page, command, monkeypatch):
    monkeypatch.chdir(TOP)
    result = CliRunner().invoke(app, [*shlex.split(command)[3:], "--json"])
    rows = json.loads(result.stdout)["machine"]
    assert rows and all(row["mend"] for row in rows if row["is"] != "ok"), f"{page}: {command}"
    assert result.exit_code == max(Severity[row["is"].upper()] for row in rows)


def test_the_page_of_settings_is_what_the_models_say_and_explains_each():
    done = subprocess.run([sys.executable, ".ci/configuration_page.py", "--check"], cwd=TOP, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert "|  |" not in (TOP / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_ten_words_of_ones_own_are_a_root_with_a_report(site, small_words, prefect_server, tmp_path, monkeypatch):
    """The quick start's second step, on the site that the fixture serves."""
    page = (TOP / "docs" / "quick_start.md").read_text(encoding="utf-8")
    own, _, block = page.partition("Ten words, one a line, in `my_queries.txt`: ")[2].partition(". Serve")
    words, root = re.split(r",\s", own), tmp_path / "mine"
    assert len(words) == 10
    (tmp_path / "my_queries.txt").write_text("\n".join(words), encoding="utf-8")
    monkeypatch.chdir(TOP)
    monkeypatch.setenv(SITE_VARIABLE, site)
    lines = re.findall(r"^\$ python -m flows (.*data/mine.*)$", block, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["curate", "status", "report"]
    for line in lines:
        line = line.replace("data/mine", str(root)).replace("my_queries.txt", str(tmp_path / "my_queries.txt"))
        result = CliRunner().invoke(app, [*shlex.split(line), *(small_words if line.startswith("curate") else [])])
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception}"
    assert read_table(str(root), "searches").num_rows == 10 and read_table(str(root), "splits").num_rows > 0
    assert (root / "report.html").is_file()


def test_every_command_of_the_program_has_help_with_an_example():
    for command in app.registered_commands:
        assert "Example: python -m flows" in (command.callback.__doc__ or ""), command.callback


def test_every_other_console_command_says_what_it_needs():
    unknown = [c for c in RUNNABLE if not c[1].startswith(("make", "python -m flows"))]
    assert not unknown


def test_every_reason_has_its_row_with_its_policy_and_no_row_is_of_the_past():
    text = (TOP / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    told = {(row[1], row[2]) for row in re.finditer(r"^\| `(\w+)` \| [^|]+ \| (\w+) \|", text, re.MULTILINE)}
    assert told == {(reason, policy.value) for spec in TABLES.values() for reason, policy in spec.reasons.items()}


def test_links_between_the_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configurations_in_the_pages_are_ones(page):
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        Config.model_validate(tomllib.loads(block))


def test_files_that_the_pages_name_exist():
    named = re.compile(r"`((?:flows|datasets|extract|features|model|demo|configs|deploy|benchmarks|tests)/[\w./-]*\w)`")
    for page in (*PAGES, TOP / "SECURITY.md", TOP / "CONTRIBUTING.md"):
        for path in named.findall(page.read_text(encoding="utf-8")):
            assert (TOP / path).exists(), f"{page.name}: {path}"
