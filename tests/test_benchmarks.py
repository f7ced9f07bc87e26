"""The quick benchmarks run, and bookkeeping grows about linearly: ratios, never absolute times."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
WORST_EXPONENT = 1.6


@pytest.mark.slow
def test_bookkeeping_grows_about_linearly_and_the_results_say_on_what(tmp_path):
    results = tmp_path / "results.md"
    command = [sys.executable, "-m", "benchmarks.run_all", "--quick", "bench_growth", "--out", str(results)]
    subprocess.run(command, cwd=TOP, check=True, timeout=250)
    text = results.read_text(encoding="utf-8")
    assert "pyarrow" in text and "at commit" in text
    exponents = {
        step: float(last) for step, last in re.findall(r"^\| ([\w -]+) \|.*\| (\d\.\d\d) \|$", text, re.MULTILINE)
    }
    assert exponents.keys() >= {"plan", "anti-join", "splits", "status"}
    assert max(exponents.values()) < WORST_EXPONENT, exponents
