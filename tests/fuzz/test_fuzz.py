"""No input makes a parser fail in any way but its own; 1,000 inputs a target in the slow tests, more by `make fuzz`."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.model_targets import MODEL_TARGETS
from tests.fuzz.targets import TARGETS, Target

ALL = {**TARGETS, **MODEL_TARGETS}
NUM_FAST, NUM_SLOW = 40, 1000


def fuzz(target: Target, num_inputs: int) -> None:
    @settings(
        max_examples=num_inputs,
        deadline=None,
        database=None,
        derandomize="FUZZ_RANDOM" not in os.environ,  # the suite is the same every time; `make fuzz` looks further
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=True,
    )
    @given(target.inputs)
    def reads_or_refuses(given_input):
        try:
            target.read(given_input)
        except Exception as error:
            # The very type: UnicodeDecodeError is a ValueError, and none that anybody wrote for people.
            if type(error) not in target.errors:
                raise
            assert str(error) and len(str(error)) < 2000

    reads_or_refuses()


@pytest.mark.parametrize("name", ALL)
def test_a_parser_reads_or_refuses(name):
    fuzz(ALL[name], NUM_FAST)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ALL)
def test_a_parser_reads_or_refuses_many_inputs(name):
    fuzz(ALL[name], int(os.environ.get("FUZZ_INPUTS", NUM_SLOW)))
