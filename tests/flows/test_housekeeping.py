"""Old run records and caches go; what is young, another's or a result stays."""

import inspect
import os
import time
from importlib import import_module
from pathlib import Path

import prefect
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from datasets.outcomes import OK
from datasets.tables import list_parts, make_table, table_digest, write_part
from flows.config import load_config
from flows.scheduled import housekeeping as module
from flows.scheduled.housekeeping import FLOW_NAMES, housekeeping

FLOWS = Path(module.__file__).parents[1]


@pytest.fixture
def config(tmp_path):
    return load_config(None, str(tmp_path), (f"run.cache_dir={tmp_path / 'cache'}", "schedules.keep_days=30"))


def write_aged(path, days):
    path.parent.mkdir(exist_ok=True)
    path.touch()
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def test_old_copies_of_features_go_and_everything_else_stays(config, tmp_path, prefect_server):
    cache = tmp_path / "cache"
    old, young, other = (write_aged(cache / name, days) for name, days in [("a.arrow", 31), ("b.arrow", 1), ("c", 99)])
    assert housekeeping(config, dry_run=True)["cached files"] == 1 and old.exists()
    assert housekeeping(config)["cached files"] == 1
    assert not old.exists() and young.exists() and other.exists()


def test_small_parts_are_merged_by_the_scheduled_run(config, tmp_path, prefect_server):
    for number in range(5):
        row = {"video_id": f"v{number}", "source": "site", **OK}
        write_part(tmp_path, "videos", make_table("videos", [row], recipe="r", run_id=""))
    digest = table_digest(tmp_path, "videos")
    assert housekeeping(config, dry_run=True)["parts"] == 0 and len(list_parts(tmp_path, "videos")) == 5
    assert housekeeping(config)["parts"] == 4 and len(list_parts(tmp_path, "videos")) == 1
    assert table_digest(tmp_path, "videos") == digest


def test_records_of_our_ended_runs_go_and_those_of_others_stay(config, prefect_server, monkeypatch):
    @prefect.flow(name="somebody-elses")
    def other():
        return prefect.runtime.flow_run.get_id()

    kept = other()
    housekeeping(config)
    monkeypatch.setattr(module, "_S_PER_DAY", 0)
    assert housekeeping(config, dry_run=True)["run records"] >= 1
    assert housekeeping(config)["run records"] >= 1
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(kept).name
        left = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOW_NAMES))))
    assert len(left) == 1  # the last housekeeping itself, which had not ended when it looked


def test_every_flow_asks_the_doctor_and_is_known_to_housekeeping():
    names = [".".join(path.relative_to(FLOWS.parent).with_suffix("").parts) for path in FLOWS.rglob("*.py")]
    modules = [import_module(name) for name in names if "__" not in name]
    flows = {flow.name: flow for module in modules for flow in vars(module).values() if isinstance(flow, prefect.Flow)}
    assert set(flows) == set(FLOW_NAMES)
    for name, flow in flows.items():
        assert flow.fn.__qualname__ and inspect.unwrap(flow.fn) is not flow.fn, name
