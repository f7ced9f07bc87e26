"""Stages on two nodes of a real Ray cluster, beside a real Prefect server and an object store: digests as on one."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fsspec
import pytest

from datasets.tables import list_parts, read_table, table_digest
from flows.commands.demo import SITE_VARIABLE
from tests.flows.conftest import CONFIGS, SMALL
from tests.flows.object_store import serve_bucket
from tests.flows.real_server import TOP, run_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CUT = ("segmentations", "segments", "clips", "splits")
FEATURES = ("features_2d", "features_3d", "log_mel", "pooled")
# Batches of one video and of a few clips, so that there are several for two nodes.
ON_RAY = ("run.runner=ray", "run.videos_per_batch=1", "run.clips_per_batch=3")
# Every batch is handed out twice; what the driver is told is all that differs.
TWICE = (
    "import flows.stages.segment as stage; from flows.__main__ import app; cut = stage.cut_batches;"
    "stage.cut_batches = lambda todo, *most: cut(todo, *most) * 2; app()"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    pytest.importorskip("prefect_ray", reason="needs `make setup-cluster`")
    with serve_bucket("roots-of-test", tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def server(site, tmp_path_factory):
    with run_server(tmp_path_factory.mktemp("server")) as environment:
        yield {**environment, SITE_VARIABLE: site}


@pytest.fixture(scope="module")
def cluster(server, store, tmp_path_factory):
    """Environment of a driver for two nodes of two workers each, started after the store so that they know it."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            patch.delenv(name)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        nodes.add_node(num_cpus=2)
        nodes.wait_for_nodes()
        yield {**server, "RAY_ADDRESS": nodes.address}
        nodes.shutdown()


def command(verb, root, site, *overrides):
    words = [*SMALL, f"source.watch_url={site}/watch?v={{video_id}}", *overrides]
    return [verb, "--config", str(CONFIGS / "demo.toml"), "--root", root, *(f"--set={word}" for word in words)]


def start(environment, words, program=("-m", "flows")):
    """The command in a process of its own, and the file that it tells in, of which a full pipe would stop it."""
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `finish` closes it
    environment = {**os.environ, **environment}
    command = [sys.executable, *program, *words]
    return subprocess.Popen(command, env=environment, cwd=TOP, stdout=log, stderr=subprocess.STDOUT), log


def finish(process, log, code=0):
    """What the process told, which must end with the exit code."""
    with log:
        ended = process.wait(timeout=400)
        log.seek(0)
        told = log.read()
    assert ended == code, told[-3000:]
    return told


def run(environment, *args, **kwargs):
    finish(*start(environment, *args, **kwargs))


def digests(root, names):
    return {name: table_digest(root, name) for name in names}


def workers(stage):
    """{process: parent} of the cluster's processes that do a batch of the stage now."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(f"ray::{stage}".encode()):
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    # A process that a batch starts bears the batch's name until it becomes another program.
    return {process: parent for process, parent in found.items() if parent not in found}


@pytest.fixture(scope="module")
def local(server, site, tmp_path_factory):
    """Root that one machine went over, and a copy of it as it was before it had features."""
    root = tmp_path_factory.mktemp("local") / "root"
    run(server, command("curate", str(root), site))
    shutil.copytree(root, root.with_name("without_features"))
    run(server, command("featurize", str(root), site, "run.clips_per_batch=3"))
    return root


@pytest.fixture
def cut(local, tmp_path):
    shutil.copytree(local.with_name("without_features"), tmp_path / "root")
    return str(tmp_path / "root")


def test_two_nodes_and_a_store_that_throttles_end_with_the_digests_of_one_machine(
    local, cluster, store, site, tmp_path
):
    root, media = f"{store.bucket}/throttled", f"run.media_root={tmp_path}/media"
    store.throttle(every=40)
    run(cluster, command("curate", root, site, media, *ON_RAY))
    assert digests(root, CUT) == digests(local, CUT)
    (process, log), nodes = start(cluster, command("featurize", root, site, media, *ON_RAY)), set()
    while process.poll() is None:
        nodes |= set(workers("featurize").values())
        time.sleep(0.05)
    finish(process, log)
    assert len(nodes) == 2, "both nodes had a batch"
    assert digests(root, FEATURES) == digests(local, FEATURES)
    assert store.throttle(every=0) > 10, "the store refused requests"


@pytest.mark.parametrize(
    ("verb", "stage", "first", "tables"),
    [("curate", "segment", "segmentations", CUT), ("featurize", "featurize", "features_2d", FEATURES)],
)
def test_one_worker_of_four_killed_in_the_middle_of_a_batch_changes_no_row(
    local, cut, cluster, site, verb, stage, first, tables
):
    if stage == "segment":
        for name in ("segmentations", "segments"):
            shutil.rmtree(Path(cut) / name)
    (process, log), killed = start(cluster, command(verb, cut, site, *ON_RAY)), None
    while process.poll() is None and killed is None:
        if list_parts(cut, first) and (doing := workers(stage)):
            killed = next(iter(doing))
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.02)
    finish(process, log)
    assert killed is not None
    assert digests(cut, tables) == digests(local, tables)


def test_a_batch_done_twice_leaves_the_same_parts(local, cut, cluster, site):
    for name in ("segmentations", "segments"):
        shutil.rmtree(Path(cut) / name)
    run(cluster, command("curate", cut, site, *ON_RAY), program=("-c", TWICE))
    assert digests(cut, CUT) == digests(local, CUT)
    num_videos = read_table(local, "segmentations").num_rows
    assert len(list_parts(cut, "segmentations")) == num_videos, "a batch of one video, done again, replaced its part"


def test_a_store_that_refuses_for_good_stops_the_run_in_one_line(server, store, site, tmp_path):
    store.throttle(every=1)
    fsspec.filesystem("s3").clear_instance_cache()
    words = command("featurize", f"{store.bucket}/refused", site, f"run.media_root={tmp_path}/media")
    told = finish(*start(server, words), code=3)
    store.throttle(every=0)
    assert told.splitlines()[-1].startswith("error: ") and "reduce your request rate" in told
    assert "Traceback" not in told
