"""No page and no extractor holds a video past its time limit, and the next video is fetched as ever."""

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from pathlib import Path

import pytest

from datasets.outcomes import TransientError
from extract.selection import SelectionSettings
from extract.site import worker
from extract.site.fetch import DownloadSettings, check_video, fetch_video
from extract.sources import SourceSettings
from tests.extract.endless_extractors import KINDS

TOP = Path(__file__).parents[2]
LIMIT_S = 2.0
SLOW_MACHINE_S = 60.0  # beside much else; what is tried would go on for ever
SOURCE = SourceSettings(
    name="site",
    watch_url="http://127.0.0.1:9/watch?v={video_id}",
    extractors=("tests.extract.endless_extractors:EndlessIE",),
)
LIMITS = DownloadSettings(min_free_bytes=0, timeout_s=LIMIT_S, retries=0, socket_timeout_s=1)
PATIENT = LIMITS.model_copy(update={"timeout_s": 300.0})
ANY = SelectionSettings(language=None, min_views=0, min_duration_ms=0, max_duration_ms=10**9)


def running(name: str) -> list[int]:
    """Processes whose command line has a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in words:
            found.append(int(path.parent.name))
    return found


def wait_until_gone(name: str) -> None:
    deadline = time.monotonic() + SLOW_MACHINE_S
    while running(name):
        assert time.monotonic() < deadline, f"{name} outlived who started it"
        time.sleep(0.1)


@pytest.mark.parametrize("video_id", KINDS)
def test_whatever_an_extractor_does_ends_at_the_limit(video_id, tmp_path):
    began = time.monotonic()
    with pytest.raises(TransientError, match="time limit of 2 s") as caught:
        fetch_video(video_id, tmp_path, SOURCE, ANY, LIMITS)
    assert caught.value.reason == "network"
    assert time.monotonic() - began < LIMIT_S + SLOW_MACHINE_S
    wait_until_gone("3601")


@pytest.mark.parametrize("video_id", ["formats0000", "segments000"])
def test_more_than_a_site_has_ends_near_the_limit(video_id, tmp_path):
    began = time.monotonic()
    try:
        _, media = fetch_video(video_id, tmp_path, SOURCE, ANY, LIMITS)
        assert media["reason"] in ("file_too_large", "network", "unexpected")
    except TransientError as error:
        assert error.reason == "network"
    assert time.monotonic() - began < LIMIT_S + SLOW_MACHINE_S


def test_a_worker_that_is_stopped_ends_at_the_limit():
    check_video("ordinary000", SOURCE, PATIENT)
    for one in worker._idle:
        os.kill(one._process.pid, signal.SIGSTOP)
    with pytest.raises(TransientError, match="time limit"):
        check_video("ordinary000", SOURCE, LIMITS)
    assert check_video("ordinary000", SOURCE, PATIENT)["status"] == "ok"


def test_a_worker_that_is_killed_is_trouble_that_passes():
    check_video("ordinary000", SOURCE, PATIENT)
    (one,) = worker._idle
    killer = threading.Timer(1, os.kill, [one._process.pid, signal.SIGKILL])
    killer.start()
    with pytest.raises(TransientError, match="ended from outside, by SIGKILL") as caught:
        check_video("sleep000000", SOURCE, PATIENT)
    assert caught.value.reason == "network"
    assert check_video("ordinary000", SOURCE, PATIENT)["status"] == "ok"


def test_a_surprise_is_told_with_its_traceback_and_the_next_video_is_asked_for():
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a surprise of the extractor") as caught:
        check_video("surprise000", SOURCE, PATIENT)
    assert "Traceback" in caught.value.__notes__[0]
    assert check_video("ordinary000", SOURCE, PATIENT)["status"] == "ok"


def test_what_the_engine_runs_for_the_site_keeps_nothing_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_video("program0000", SOURCE, PATIENT)["status"] == "ok"
    assert not list(tmp_path.iterdir())


def test_a_worker_ends_with_whoever_started_it_and_ended_before_hearing_that_it_is_ready():
    ours, theirs = Pipe()
    with theirs:
        command = [sys.executable, "-m", "extract.site.worker", str(theirs.fileno())]
        process = subprocess.Popen(command, cwd=TOP, pass_fds=[theirs.fileno()], start_new_session=True)
    assert ours.poll(60)
    ours.close()
    assert process.wait(60) == -signal.SIGKILL


def test_a_worker_ends_with_whoever_started_it(tmp_path):
    script = (
        "import threading\n"
        "from tests.extract.test_clock import *\n"
        "threading.Thread(target=check_video, args=('child000000', SOURCE, PATIENT), daemon=True).start()\n"
        "input()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=TOP, stdin=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not running("3601"):
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    parent.stdin.close()
    wait_until_gone("3601")
