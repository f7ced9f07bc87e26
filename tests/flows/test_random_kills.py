"""The pipeline killed at random moments ends as an undisturbed one; benchmarks/bench_kills.py does it 50 times."""

import os

import pytest
from prefect.settings import PREFECT_API_URL

from tests.kills import kill_repeatedly


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_random_kills_leave_no_trace(tmp_path, channel, prefect_server, monkeypatch):
    monkeypatch.setitem(os.environ, "PREFECT_API_URL", PREFECT_API_URL.value())
    outcome = kill_repeatedly(tmp_path, channel, num_kills=5, seed=1)
    print(outcome)
    assert outcome.num_kills == 5 and outcome.is_clean, outcome
