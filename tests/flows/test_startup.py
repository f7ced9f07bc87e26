"""What a command loads and starts before it does its work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets.tables import list_parts, table_digest
from datasets.wheels import CHECKOUT
from flows.machinery.run import WorkLeftError, look
from flows.stages.curate import curate_root

HEAVY = ("prefect", "torch", "yt_dlp", "scipy", "lightning")
RUN_AND_LIST = f"""
import runpy, sys
sys.argv = ["flows", *sys.argv[1:]]
try:
    runpy.run_module("flows", run_name="__main__")
finally:
    print("loaded:", *[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def environment(tmp_path, **more):
    """The tests' own, without the tests' Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "PREFECT_HOME": str(tmp_path / "prefect"), **more}


def loaded_by(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_LIST, *words],
        cwd=CHECKOUT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done, done.stderr.rpartition("loaded:")[2].split()


@pytest.mark.parametrize("command", ["status", "doctor", "verify", "report"])
def test_what_reads_a_root_loads_neither_prefect_nor_torch(command, small_root, tmp_path):
    done, loaded = loaded_by(
        [command, small_root] if command == "verify" else [command, f"--root={small_root}"], tmp_path
    )
    assert done.stdout
    assert not {"prefect", "torch", "yt_dlp"} & set(loaded)


def test_the_version_is_printed_without_loading_anything_heavy(tmp_path):
    done, loaded = loaded_by(["--version"], tmp_path)
    name, version, commit = done.stdout.split()
    assert (name, version) == ("spoken-video-curation", "0.1.0") and commit.startswith("(")
    assert not loaded


@pytest.mark.parametrize(
    "command",
    ["curate", "featurize", "pipeline", "finetune", "evaluate", "publish", "demo", "status", "regenerate nowhere"],
)
def test_what_is_wrong_with_a_configuration_is_told_before_anything_heavy_is_loaded(command, tmp_path):
    done, loaded = loaded_by([*command.split(), f"--root={tmp_path}", "--set=search.depth=0"], tmp_path)
    assert done.returncode == 2
    assert "error: search.depth" in done.stderr
    assert not loaded


def test_a_finished_root_has_no_work_and_stays_as_it_is(small_root, small_config):
    written = {path: path.stat().st_mtime_ns for path in Path(small_root).rglob("*.*")}
    look(curate_root, small_config)
    assert {path: path.stat().st_mtime_ns for path in Path(small_root).rglob("*.*")} == written


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("search", {"depth": 7}),
        ("selection", {"min_views": 77}),
        ("speech", {"fingerprint_ms": 7_777}),
        ("clips", {"max_ms": 7_777}),
        ("splits", {"seed": 7}),
    ],
)
def test_a_changed_setting_of_any_stage_is_work(stage, change, small_root, small_config):
    digests = [table_digest(small_root, table) for table in ("searches", "splits")]
    settings = getattr(small_config, stage)
    changed = small_config.model_copy(update={stage: settings.model_copy(update=change)})
    with pytest.raises(WorkLeftError):
        look(curate_root, changed)
    assert [table_digest(small_root, table) for table in ("searches", "splits")] == digests


def test_a_reason_to_try_again_is_work(small_root, small_config):
    assert list_parts(small_root, "videos")
    with pytest.raises(WorkLeftError):
        look(curate_root, small_config, retry=("private",))


def test_a_second_curate_says_what_there_is_and_starts_no_server(small_root, small_words, tmp_path):
    words = ["curate", "--config=configs/demo.toml", f"--root={small_root}", *small_words]
    done, _ = loaded_by(words, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing is left to do" in done.stderr and "Funnel" in done.stdout
    assert not (tmp_path / "prefect" / "prefect.db").exists()


START = """
import os, time, urllib.request
from flows.machinery.server import start_server
start_server()
if {waits}:
    urllib.request.urlopen(os.environ["PREFECT_API_URL"] + "/health", timeout=200)
print("there", flush=True)
time.sleep(200)
"""


@pytest.mark.parametrize("waits", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_command_that_is_killed_leaves_no_server(waits, tmp_path):
    command = [sys.executable, "-c", START.format(waits=waits)]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment(tmp_path), stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"there\n"
        [server] = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{server}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{server}").exists()


def test_a_server_of_the_users_own_is_found_in_prefects_profile(tmp_path):
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    )
    asked = "from flows.machinery.server import server_address; print(server_address())"
    command = [sys.executable, "-c", asked]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout == "http://127.0.0.1:9/api\n"


def test_a_configured_server_that_does_not_answer_is_told_in_one_line(tmp_path):
    own = environment(tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api")
    command = [sys.executable, "-m", "flows", "pairs", f"--root={tmp_path}"]
    done = subprocess.run(command, cwd=CHECKOUT, env=own, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: Prefect API: http://127.0.0.1:9/api does not answer")
