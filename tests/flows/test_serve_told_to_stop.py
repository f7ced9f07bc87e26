"""`serve` that is told to stop, on a Prefect server of its own: no other process may take its deployments' runs."""

import pytest
from prefect.client.schemas.objects import StateType

from flows.commands.demo import SITE_VARIABLE
from tests.flows.conftest import CONFIGS, SMALL
from tests.flows.real_server import in_background, run_server, wait_for
from tests.flows.test_real_server import INTERVAL_S, ONE_BY_ONE, ask, list_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def server(tmp_path_factory):
    with run_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


def test_serve_that_is_told_to_stop_pauses_its_schedules_and_marks_what_runs(server, site, tmp_path):
    root, log = str(tmp_path / "root"), tmp_path / "serve.log"
    chosen = [*SMALL, *ONE_BY_ONE, f"schedules.curate_daily={INTERVAL_S}"]
    chosen += [f"source.watch_url={site}/watch?v={{video_id}}"]
    command = ["flows", "serve", "--config", str(CONFIGS / "demo.toml"), "--root", root]
    environment = {**server, SITE_VARIABLE: site}

    def deployed():
        found = ask(environment, lambda client: client.read_deployments())
        return [deployment for deployment in found if deployment.tags == [root]]

    def runs():
        own = {deployment.id for deployment in deployed()}
        return [run for run in list_runs(environment) if run.deployment_id in own]

    with in_background([*command, *(f"--set={value}" for value in chosen)], environment, log) as process:
        wait_for(lambda: [r for r in runs() if r.state_type is StateType.RUNNING], 120, "a scheduled run is running")
        process.terminate()
        assert process.wait(60) == 0, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    assert [deployment.name for deployment in deployed() if not deployment.paused] == []
    assert runs()
    wait_for(lambda: all(run.state.is_final() for run in runs()), 30, "every run is marked as ended")
