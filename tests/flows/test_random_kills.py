"""The pipeline killed or stopped at random moments ends as an undisturbed one; bench_kills.py does it 50 times."""

import pytest

from tests.kills import KINDS, kill_repeatedly


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_random_kills_leave_no_trace(tmp_path, channel):
    outcome = kill_repeatedly(tmp_path, channel, num_kills=8, seed=1)
    print(outcome)
    assert outcome.kills.total() == 8 and outcome.kills[KINDS[0]] and outcome.kills[KINDS[1]]
    assert outcome.is_clean, outcome
