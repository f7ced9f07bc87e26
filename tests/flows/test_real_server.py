"""Deployments on a real Prefect server: they fire by themselves, are cancelled, resumed, skipped when they overlap."""

import asyncio
import os
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling

from datasets.tables import read_table
from flows.commands.demo import SITE_VARIABLE
from flows.machinery.locks import hold_root
from flows.scheduled.deployments import DEPLOYMENTS
from tests.flows.conftest import CONFIGS, SMALL
from tests.flows.real_server import in_background, run_server, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
INTERVAL_S = 5
# Batches of one, so that a run is cancelled with some of its parts written and some not.
ONE_BY_ONE = ("run.queries_per_batch=1", "run.videos_per_batch=1")
# A screenshot to look at: PICTURES=FOLDER.
PICTURES = os.environ.get("PICTURES")


def ask(environment, question):
    """The answer of a client's coroutine."""

    async def with_client():
        async with PrefectClient(environment["PREFECT_API_URL"]) as client:
            return await question(client)

    return asyncio.run(with_client())


def list_runs(environment):
    """Runs of deployments that have begun or ended, oldest first."""
    runs = ask(environment, lambda client: client.read_flow_runs(limit=200))
    runs = [run for run in runs if run.deployment_id and run.state_type not in (StateType.SCHEDULED, StateType.PENDING)]
    return sorted(runs, key=lambda run: run.expected_start_time)


def stamps(root):
    return {path: path.stat().st_mtime_ns for path in Path(root).glob("*/*/*.parquet")}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with run_server(tmp_path_factory.mktemp("server")) as environment:
        yield environment


@pytest.fixture(scope="module")
def served(server, site, tmp_path_factory):
    """(root, environment) of `python -m flows serve` with one deployment every few seconds and the others at rest."""
    folder = tmp_path_factory.mktemp("served")
    root = str(folder / "root")
    never = [f"schedules.{name.replace('-', '_')}=" for name in DEPLOYMENTS if name != "curate-daily"]
    chosen = [*SMALL, *ONE_BY_ONE, *never, f"schedules.curate_daily={INTERVAL_S}"]
    chosen += [f"source.watch_url={site}/watch?v={{video_id}}"]
    command = ["flows", "serve", "--config", str(CONFIGS / "demo.toml"), "--root", root]
    environment = {**server, SITE_VARIABLE: site}
    with in_background(
        [*command, *(f"--set={value}" for value in chosen)], environment, folder / "serve.log"
    ) as process:
        yield root, environment
        assert process.poll() is None, (folder / "serve.log").read_text()[-2000:]


def test_deployments_fire_are_cancelled_resumed_and_skipped(served):
    root, environment = served

    def begun():
        return next((run for run in list_runs(environment) if run.state_type is StateType.RUNNING), None)

    # Nobody starts it.
    first = wait_for(begun, 120, "a scheduled run is running")
    wait_for(lambda: list(Path(root).glob("videos/*/*.parquet")), 120, "the run has written a part")
    ask(environment, lambda client: client.set_flow_run_state(first.id, Cancelling(), force=True))
    wait_for(
        lambda: ask(environment, lambda client: client.read_flow_run(first.id)).state_type is StateType.CANCELLED,
        60,
        "the run is cancelled",
    )
    before = stamps(root)
    assert not list(Path(root).glob("clips/*/*.parquet")), "it was cancelled in the middle"

    def completed():
        return next((run for run in list_runs(environment) if run.state_type is StateType.COMPLETED), None)

    # The next one goes on from there.
    second = wait_for(completed, 200, "a later run has completed")
    assert second.expected_start_time > first.expected_start_time
    found = set(read_table(root, "discoveries", ["video_id"])["video_id"].to_pylist())
    assert found == set(read_table(root, "videos", ["video_id"])["video_id"].to_pylist())
    assert read_table(root, "clips", ["clip_id"]).num_rows > 0
    after = stamps(root)
    assert before and {path: after[path] for path in before} == before

    # One that meets a held root says so, and does not fail.
    with hold_root(root):

        def skipped():
            return next((run for run in list_runs(environment) if run.state.name == "Skipped"), None)

        state = wait_for(skipped, 100, "an overlapping run is skipped").state
    assert state.type is StateType.CANCELLED and f"another run works on the root {root}" in state.message
    assert not [run for run in list_runs(environment) if run.state_type in (StateType.FAILED, StateType.CRASHED)]


def test_the_server_holds_every_deployment_with_its_limit(served):
    _root, environment = served
    found = ask(environment, lambda client: client.read_deployments())
    assert {deployment.name for deployment in found} == set(DEPLOYMENTS)
    assert {deployment.concurrency_options.collision_strategy.value for deployment in found} == {"CANCEL_NEW"}
    assert {name for d in found for name in [d.name] if d.schedules} == {"curate-daily"}


def test_prefects_page_shows_the_deployments(browser, served):
    _, environment = served
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(environment["PREFECT_API_URL"].removesuffix("/api") + "/deployments")
    page.get_by_text("refresh-availability").first.wait_for(timeout=60_000)
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/prefect-deployments.png")
        for name in ("runs", "artifacts"):
            page.goto(environment["PREFECT_API_URL"].removesuffix("/api") + f"/{name}")
            page.wait_for_timeout(3000)
            page.screenshot(path=f"{PICTURES}/prefect-{name}.png")
