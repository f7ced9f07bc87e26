"""The quick benchmarks run, and guard against regressions: as ratios with generous bounds, never as absolute times."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.limits import tell
from benchmarks.run_all import list_figures

TOP = Path(__file__).parents[1]
WORST_EXPONENT = 1.6
LEAST_TIMES = {"metrics 3000 x 3000, both ways": 2, "loader": 5}
"""Times the original's speed; measured were 6 and 22 (benchmarks/model.md)."""


def run_quick(tmp_path, *names):
    results = tmp_path / "results.md"
    command = [sys.executable, "-m", "benchmarks.run_all", "--quick", *names, "--out", str(results)]
    subprocess.run(command, cwd=TOP, check=True)
    return results.read_text(encoding="utf-8")


def test_figures_of_several_runs_become_a_median_with_its_spread_beside_the_limit(capsys):
    said = []
    for figure in (3.0, 5.0, 4.0):
        tell("  speed, loader", figure, "times", at_least=4.5)
        said.append(capsys.readouterr().out)
    row = "| bench | speed, loader | 4 times | 3 to 5 of 3 | at least 4.5 | **fails** |"
    assert list_figures("bench", said) == [row]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bookkeeping_grows_about_linearly_and_the_results_say_on_what(tmp_path):
    text = run_quick(tmp_path, "bench_growth")
    assert "pyarrow" in text and "at commit" in text
    exponents = {
        step: float(last) for step, last in re.findall(r"^\| ([\w -]+) \|.*\| (\d\.\d\d) \|$", text, re.MULTILINE)
    }
    assert exponents.keys() >= {"plan", "anti-join", "splits", "publish", "status"}
    assert max(exponents.values()) < WORST_EXPONENT, exponents


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_model_is_faster_than_the_original_and_what_needs_recordings_says_so(tmp_path):
    text = run_quick(tmp_path, "bench_model", "bench_speech_memory")
    assert "skipped:" in text
    for name, least in LEAST_TIMES.items():
        found = re.search(rf"^{re.escape(name)}.* ([\d.]+) x$", text, re.MULTILINE)
        assert found and float(found[1]) > least, text


@pytest.mark.slow
def test_the_check_of_a_gpu_runs_on_a_cpu_and_needs_none_of_what_flows_needs(tmp_path):
    program = "import sys; sys.modules.update(dict.fromkeys(['prefect', 'openvino', 'imageio_ffmpeg', 'h5py']))\n"
    program += "from benchmarks import gpu_check; gpu_check.main()"
    arguments = ["--quick", "--device", "cpu", "--seconds", "900", "--out", str(tmp_path / "check.json")]
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=TOP, check=True)
    found = json.loads((tmp_path / "check.json").read_text())
    assert {name: step.get("error") for name, step in found["steps"].items() if "found" not in step} == {}
    assert len(found["steps"]) == 9
    assert found["holds"]["resnet152 in fp32"] and found["holds"]["no forward is another's"]
