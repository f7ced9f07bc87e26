"""What is scheduled: names, schedules, limits; when a run is skipped; what a day may ask; what is tidied up."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.engine import handle_engine_signals
from prefect.exceptions import Abort

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.tables import make_table, write_part
from flows.config import Config, ConfigError, load_config
from flows.machinery import prepare as beginning
from flows.machinery.locks import hold_root
from flows.machinery.prepare import NothingToDoError, prepared
from flows.scheduled import daily
from flows.scheduled.deployments import DEPLOYMENTS, keep_splits, list_deployments, serve_deployments

NAMES = {"curate-daily", "regenerate", "publish", "pipeline", "refresh-availability", "housekeeping"}


@pytest.fixture(scope="module")
def deployments():
    config = load_config(None, "data/x", ("schedules.curate_daily=90", "schedules.timezone=Asia/Tokyo"))
    return {deployment.name: deployment for deployment in list_deployments(config)}


def test_exactly_the_named_deployments_are_made(deployments):
    assert set(deployments) == NAMES


def test_a_schedule_is_seconds_a_cron_string_in_its_time_zone_or_none(deployments):
    schedule = deployments["curate-daily"].schedules[0].schedule
    assert schedule.interval == timedelta(seconds=90)
    schedule = deployments["housekeeping"].schedules[0].schedule
    assert (schedule.cron, schedule.timezone) == ("0 1 * * 0", "Asia/Tokyo")
    assert not deployments["regenerate"].schedules


def test_one_run_of_a_deployment_at_a_time_and_the_later_one_goes(deployments):
    for deployment in deployments.values():
        assert deployment.concurrency_limit == 1
        assert deployment.concurrency_options.collision_strategy is ConcurrencyLimitStrategy.CANCEL_NEW


def test_parameters_make_the_configuration_again_and_entrypoints_are_modules(deployments):
    for name, deployment in deployments.items():
        assert ":" not in deployment.entrypoint and isinstance(DEPLOYMENTS[name], Flow)
        config = Config.model_validate(deployment.parameters["config"])
        assert config.root == ("data/x_regenerated" if name == "regenerate" else "data/x")
        assert config.splits.pinned_from == "data/x", "a root that grows keeps its splits"


@pytest.mark.parametrize(
    "override", ["curate_daily=0", 'curate_daily="every day"', "timezone=Mars/Olympus", "curate_weekly=1"]
)
def test_a_schedule_that_cannot_be_is_refused_with_its_name(override):
    with pytest.raises(ConfigError, match=f"schedules.{override.partition('=')[0]}"):
        load_config(None, None, (f"schedules.{override}",))


def test_without_a_server_serve_says_how_to_start_one(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ConfigError, match="prefect server start"):
        serve_deployments(Config())


def test_a_server_that_does_not_answer_stops_serve_with_its_address(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:9/api does not answer"):
        serve_deployments(Config())


@pytest.fixture
def scheduled(monkeypatch):
    """As if a deployment had started the run, at a time that the test sets."""
    found = SimpleNamespace(start=datetime.now(UTC))
    monkeypatch.setattr(beginning, "_is_deployed", lambda: True)
    monkeypatch.setattr(beginning.flow_run, "get_scheduled_start_time", lambda: found.start)
    return found


def begin(root, work=lambda: "done"):
    return prepared("takedown")(lambda config: work())(Config(root=str(root)))


def skipped(root, *work):
    with pytest.raises(Abort) as caught:
        begin(root, *work)
    return caught.value.state


def test_an_overlapping_scheduled_run_is_skipped_and_says_why(tmp_path, scheduled, capsys):
    with hold_root(str(tmp_path)):
        state = skipped(tmp_path)
    assert state.name == "Skipped" and "another run works on the root" in state.message
    assert begin(tmp_path) == "done"
    # One line each in the log of serve.
    passed_over, done = capsys.readouterr().out.splitlines()
    assert "skipped: another run works on the root" in passed_over
    assert "went well in " in done and done.endswith(f" s; {tmp_path} has 0 videos and 0 clips")


def test_a_missed_run_is_skipped_and_says_by_how_much(tmp_path, scheduled):
    scheduled.start -= timedelta(hours=3)
    state = skipped(tmp_path)
    assert state.name == "Skipped" and "missed by 180 min" in state.message


def test_nothing_to_do_is_no_failure_of_a_scheduled_run(tmp_path, scheduled):
    def work():
        raise NothingToDoError("3 new clips")

    assert skipped(tmp_path, work).message == "skipped: 3 new clips"


def test_a_skipped_run_is_one_line_in_its_log(tmp_path, monkeypatch, prefect_server, caplog, capsys):
    monkeypatch.setattr(beginning, "_is_deployed", lambda: True)

    @flow
    @prepared("takedown")
    def idle(config: Config) -> None:
        raise NothingToDoError("3 new clips")

    with caplog.at_level("WARNING"), pytest.raises(SystemExit) as ended, handle_engine_signals():
        idle(Config(root=str(tmp_path)))
    assert ended.value.code == 0
    assert capsys.readouterr().out.endswith(" idle: skipped: 3 new clips\n") and caplog.records == []
    with get_client(sync_client=True) as client:
        names = {run.state.name for run in client.read_flow_runs() if run.name and run.flow_id}
    assert "Skipped" in names


def test_a_run_that_a_person_starts_fails_where_a_scheduled_one_is_skipped(tmp_path):
    def work():
        raise NothingToDoError("3 new clips")

    with pytest.raises(NothingToDoError):
        begin(tmp_path, work)


def test_a_day_asks_no_more_than_it_may():
    config = daily.within_budget(load_config(None, None, ("schedules.requests_a_day=50", "pacer.max_per_day=30")))
    assert config.pacer.max_per_day == 30 and config.search.max_per_run == 200 and config.search.again_after_days == 30


def write_clips(root, num_clips):
    clips = [
        {"clip_id": make_clip_id("v", i * 9000, i * 9000 + 8000), "video_id": "v", "start_ms": i * 9000, **OK}
        for i in range(num_clips)
    ]
    write_part(root, "clips", make_table("clips", clips, recipe="r", run_id="x"))


def test_before_the_first_release_all_clips_are_new(tmp_path):
    write_clips(tmp_path, 3)
    assert daily.count_new_clips(str(tmp_path)) == 3


def test_too_few_new_clips_are_no_release(tmp_path, monkeypatch, prefect_server):
    write_clips(tmp_path, 3)
    with pytest.raises(NothingToDoError, match="3 new clips, fewer than"):
        daily.publish_when_enough(load_config(None, str(tmp_path), ("schedules.publish_after_clips=4",)))


@pytest.mark.slow
def test_enough_new_clips_are_a_release_and_the_same_clips_are_not_another(small_root, small_config, tmp_path):
    root = str(tmp_path / "root")
    shutil.copytree(small_root, root, ignore=shutil.ignore_patterns("media_files", "checkpoints", "channel"))
    run = small_config.run.model_copy(update={"media_root": f"{small_root}/media_files"})
    schedules = small_config.schedules.model_copy(update={"publish_after_clips": 3})
    config = keep_splits(small_config.model_copy(update={"root": root, "run": run, "schedules": schedules}))
    assert daily.publish_when_enough(config) == "1.0.0"
    assert Path(root, "report.html").is_file()
    with pytest.raises(NothingToDoError, match=r"^0 new clips"):
        daily.publish_when_enough(config)
