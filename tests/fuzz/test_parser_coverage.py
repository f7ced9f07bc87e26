"""The fuzz inputs reach at least 80 % of the branches of each parser; below that they prove little."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.test_fuzz import ALL

TOP = Path(__file__).parents[2]
LEAST_PERCENT = 80
PARSERS = sorted({name for target in ALL.values() for name in target.files})


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict:
    """coverage's report of the slow fuzz tests with 400 inputs a target."""
    folder = tmp_path_factory.mktemp("coverage")
    environment = {
        **os.environ,
        "COVERAGE_FILE": str(folder / "data"),
        "FUZZ_INPUTS": os.environ.get("FUZZ_INPUTS", "400"),
    }
    files = ",".join(sorted({name.split(":")[0] for name in PARSERS}))
    run = [sys.executable, "-m", "coverage", "run", "--branch", f"--include={files}", "-m", "pytest"]
    subprocess.run(
        [*run, "-q", "-m", "slow", "-k", "many_inputs", "tests/fuzz/test_fuzz.py"], cwd=TOP, env=environment, check=True
    )
    report = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(folder / "report.json")]
    subprocess.run(report, cwd=TOP, env=environment, check=True)
    return json.loads((folder / "report.json").read_text())["files"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("parser", PARSERS, ids=lambda name: name.split(":")[0])
def test_branches_of_a_parser_are_reached(parser, measured):
    path, _, functions = parser.partition(":")
    parts = measured[path]["functions"]
    names = [name for name in functions.split(",") if name] or [name for name in parts if name]
    summaries = [parts[name]["summary"] for name in names]
    total = sum(summary["num_branches"] for summary in summaries)
    reached = sum(summary["covered_branches"] for summary in summaries)
    missed = {name: parts[name]["missing_branches"] for name in names if parts[name]["missing_branches"]}
    print(f"{path}: {reached} of {total} branches")
    assert reached * 100 >= total * LEAST_PERCENT, (path, reached, total, missed)
