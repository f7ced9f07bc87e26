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
import subprocess, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
import typer
from flows.commands.shared import one_line_errors
from flows.machinery.stopping import end_soon_when_told, tell_left
end_soon_when_told()
tell_left("featurize clips", lambda: 3, 40)
def batch():
    child = subprocess.Popen(["sleep", "70"])
    with tempfile.TemporaryDirectory():
        print(child.pid, flush=True)
        time.sleep(60)
try:
    with one_line_errors(), ThreadPoolExecutor() as threads:
        threads.submit(batch).result()
except typer.Exit as told:  # as typer does; told while the thread began, the pool does not wait for it
    sys.exit(told.exit_code)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stubborn_batch_its_child_and_its_folder_end_within_ten_seconds_in_one_line(number, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    process.send_signal(number)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert told == (
        "error: interrupted, 37 of 40 left to featurize clips; the same command goes on where this one stopped\n"
    )
    assert not runs(child) and not list(tmp_path.iterdir())


# As within a flow of Prefect, which at SIGTERM waits for the batches that run.
WITHIN_A_FLOW = STUBBORN.replace(
    "with one_line_errors(), ", "with one_line_errors(), capture_sigterm(), begun(), "
).replace(
    "import typer",
    """import typer
from contextlib import contextmanager
from prefect.utilities.engine import capture_sigterm
from flows.config import Config
from flows.machinery.run import start_run
@contextmanager
def begun():
    yield start_run(Config(root="nowhere"))
""",
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_batch_of_a_flow_and_its_child_end_within_ten_seconds(number):
    process = subprocess.Popen(
        [sys.executable, "-c", WITHIN_A_FLOW], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    process.send_signal(number)
    try:
        _, told = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130 and told.startswith("error: interrupted, 37 of 40 left"), told
    assert not runs(child)


# The main thread is within a library, where Python runs no handler: it waits for what it holds itself.
WITHIN_A_LIBRARY = """
import ctypes, threading
from flows.machinery.stopping import end_soon_when_told
end_soon_when_told()
library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
library.pthread_mutex_lock(mutex)
threading.Timer(1, print, ["ready"], {"flush": True}).start()
library.pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_within_a_library_ends_within_ten_seconds_in_one_line(number):
    process = subprocess.Popen(
        [sys.executable, "-c", WITHIN_A_LIBRARY], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(number)
    try:
        _, told = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130
    assert told == "error: interrupted; the same command goes on where this one stopped\n"


# A process that it forked is told to stop, and does; the command goes on.
FORKED = """
import os, signal, time
from flows.machinery import stopping
stopping._GRACE_S = 0.2
stopping.end_soon_when_told()
told, tell = os.pipe()
child = os.fork()
if child == 0:
    try:
        os.write(tell, b"x")
        time.sleep(60)
    finally:
        os._exit(1)
os.read(told, 1)
os.kill(child, signal.SIGTERM)
os.waitpid(child, 0)
time.sleep(1)
print("went on")
"""


def test_what_a_child_is_told_does_not_end_its_parent():
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=TOP, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr


# The second of three batches is at work when the command is told to stop, and ends after that.
LATE = """
import os, signal, threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Completed
from flows.commands.shared import one_line_errors
from flows.machinery.progress import track
from flows.machinery.stopping import end_soon_when_told
end_soon_when_told()
is_at_work, is_ending, threads = threading.Event(), threading.Event(), ThreadPoolExecutor(1)
def batch(number):
    if number == 1:
        is_at_work.set()
        is_ending.wait()
    return Completed(data=number)
with one_line_errors():
    futures = [PrefectConcurrentFuture(uuid4(), threads.submit(batch, number)) for number in range(3)]
    try:
        for _ in track(futures, "transcribe", [20, 15, 10]):
            is_at_work.wait()
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        is_ending.set()
        threads.shutdown()
"""


def test_a_batch_that_ends_after_the_interruption_is_not_counted_as_left():
    done = subprocess.run(
        [sys.executable, "-c", LATE], cwd=TOP, capture_output=True, text=True, check=False, timeout=60
    )
    assert "error: interrupted, 10 of 45 left to transcribe; the same command" in done.stderr, done.stderr


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
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    done = read_table(root, "log_mel", ["clip_id", "status"])
    says_left = r"interrupted, \d of 6 left to featurize"  # on a quick machine all six end within the seconds of grace
    assert len(errors) == 1 and re.search(says_left if done.num_rows < 6 else r"interrupted[,;]", errors[0]), told
    assert "Traceback" not in told
    assert not any(map(runs, children)), "a child outlived it"
    assert done.num_rows > 0 and not list(root.rglob("*.tmp"))
