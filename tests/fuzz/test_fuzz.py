"""No input makes a parser fail in any way but its own; 10,000 a target in the slow tests, others by `make fuzz`.

`python -m tests.fuzz.with_atheris TARGET -runs=100000` goes by the branches that it reaches.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from tests.fuzz.model_targets import MODEL_TARGETS
from tests.fuzz.shard_targets import SHARD_TARGETS
from tests.fuzz.targets import TARGETS, Target
from tests.watch import watch

TOP = Path(__file__).parents[2]
ALL = {**TARGETS, **MODEL_TARGETS, **SHARD_TARGETS}
NUM_FAST, NUM_SLOW = 40, 10_000


def make_test(target: Target, num_inputs: int) -> Callable[[], None]:
    """A hypothesis test: the target reads each input or refuses it by an error of its own, and touches nothing else."""

    @settings(
        max_examples=num_inputs,
        deadline=None,
        database=None,
        # The suite draws the same every time; one test by itself need not, as hypothesis also draws the constants of
        # whatever modules are loaded by then. `make fuzz` looks further.
        derandomize="FUZZ_RANDOM" not in os.environ,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        print_blob=True,
    )
    @given(target.inputs)
    def reads_or_refuses(given_input):
        with watch(threading.get_ident()) as seen:  # another test's Prefect may be at work in its own
            refusal = read_or_refuse(given_input)
        assert not seen.connections and not seen.names
        assert not [path for path in seen.written if not is_scratch(path)]
        assert refusal is None or 0 < len(str(refusal)) < 2000

    def read_or_refuse(given_input):
        try:
            target.read(given_input)
        except Exception as error:  # all but the target's own are raised again
            # The very type: UnicodeDecodeError is a ValueError, and none that anybody wrote for people.
            if type(error) not in target.errors:
                raise
            return error
        return None

    for given_input in target.always:
        reads_or_refuses = example(given_input)(reads_or_refuses)
    return reads_or_refuses


def is_scratch(path: str) -> bool:
    """The harness's own files, and what Python keeps of a module that is imported late."""
    return path.startswith(tempfile.gettempdir()) or "__pycache__" in path or path == os.devnull


@pytest.mark.parametrize("name", ALL)
def test_a_parser_reads_or_refuses(name):
    make_test(ALL[name], NUM_FAST)()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ALL)
def test_a_parser_reads_or_refuses_many_inputs(name):
    make_test(ALL[name], int(os.environ.get("FUZZ_INPUTS", NUM_SLOW)))()


@pytest.mark.slow
def test_atheris_runs_a_target():
    command = [sys.executable, "-m", "tests.fuzz.with_atheris", "Retry-After", "-runs=2000"]
    command += ["-rss_limit_mb=0"]  # what it counts begins with the peak of the process that started it
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Done 2000 runs" in done.stderr, done.stderr[-2000:]
