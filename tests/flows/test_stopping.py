"""A command that is told to stop ends within ten seconds, with its children, in one line."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets.tables import read_table
from tests.flows.test_featurize_killed import prepared

__all__ = ["prepared"]  # the fixture: a root of six clips

TOP = Path(__file__).parents[2]
# A batch that nobody can ask to end, in a thread, and a child of it.
STUBBORN = """
import subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import typer
from flows.commands.shared import one_line_errors
from flows.machinery.stopping import end_soon_when_told, tell_left
end_soon_when_told()
tell_left("featurize clips", lambda: 3, 40)
def batch():
    child = subprocess.Popen(["sleep", "70"])
    print(child.pid, flush=True)
    time.sleep(60)
try:
    with one_line_errors(), ThreadPoolExecutor() as threads:
        threads.submit(batch).result()
except typer.Exit as told:  # as typer does; told while the thread began, the pool does not wait for it
    sys.exit(told.exit_code)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stubborn_batch_and_its_child_end_within_ten_seconds_in_one_line(number):
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    began = time.monotonic()
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - began < min(10 * slowdown(), 29)
    assert process.returncode == 130
    assert told == (
        "error: interrupted, 37 of 40 left to featurize clips; the same command goes on where this one stopped\n"
    )
    assert not runs(child)


def test_the_process_that_converts_networks_ends_with_its_parent(tmp_path):
    script = (
        "import sys, threading, pathlib\n"
        "from features.encoders.conversion import convert\n"
        "args = 'resnet152', 'untrained', pathlib.Path(sys.argv[1])\n"
        "threading.Thread(target=convert, args=args, daemon=True).start()\n"
        "input()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=TOP, stdin=subprocess.PIPE)
    child = wait_for_child(parent.pid)
    parent.kill()
    parent.wait()
    parent.stdin.close()
    deadline = time.monotonic() + 10
    while runs(child):
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.1)


def runs(pid):
    """Not so of one that ended and that nobody has asked for."""
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and command.read_bytes() != b""


def wait_for_child(pid):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
        named = [c for c in listed if b"features.encoders.conversion" in Path(f"/proc/{c}/cmdline").read_bytes()]
        if named:
            return int(named[0])
        time.sleep(0.1)
    raise AssertionError("the process that converts did not start")


def slowdown():
    """How many times as long as on an idle machine a piece of work takes just now: 1 where nobody else is at work."""
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.5:
        pass
    return (time.monotonic() - began) / 0.5


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_featurize_that_is_told_to_stop_ends_with_its_children_keeps_what_is_done_and_says_what_is_left(
    number, prepared
):
    root = prepared
    command = [sys.executable, "-m", "flows", "featurize", "--root", str(root), "--set=features.weights_2d=untrained",
               "--set=features.encoder_3d=none", "--set=run.clips_per_batch=1", "--set=run.num_workers=1"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 280
    while not list(root.glob("log_mel/*/*.parquet")):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()[-2000:]
        time.sleep(0.05)
    children = [
        pid for task in Path(f"/proc/{process.pid}/task").glob("*/children") for pid in task.read_text().split()
    ]
    began = time.monotonic()
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    took_s = time.monotonic() - began
    assert took_s < min(10 * slowdown(), 29), (took_s, slowdown())
    assert process.returncode == 130
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and re.search(r"interrupted, \d of 6 left to featurize", errors[0]), told
    assert "Traceback" not in told
    assert not any(map(runs, children)), "a child outlived it"
    done = read_table(root, "log_mel", ["clip_id", "status"])
    assert done.num_rows > 0 and not list(root.rglob("*.tmp"))
