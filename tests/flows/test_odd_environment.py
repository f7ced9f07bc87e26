"""Tables are the same wherever and however they are computed; a machine that grants too little says so in one line."""

import itertools
import resource
import shutil
import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from datasets.tables import table_digest
from tests.flows.typed import differing, error_lines, run_typed, typed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
COMMANDS = ("curate", "featurize")
DAY_S = 86_400
# The environment of curate, that of featurize, and the name of the root.
ENVIRONMENTS = {
    "time zone and hash seed changed between the runs": (
        {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "4711"}, {"TZ": "America/Caracas", "PYTHONHASHSEED": "1"}, "root"
    ),
    "locale C, no HOME, no terminal, a path with spaces and Japanese": (
        *({"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "HOME": None, "TERM": None},) * 2, "肉じゃが と 味噌汁"
    ),
}  # fmt: skip
# Days from today, one after another for as long as a run takes.
CLOCKS = {"in 1970": lambda today: [1 - today], "jumping": lambda today: [400, -3, 0, -20 * 365]}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_tables_are_the_same_in_every_environment(name, tmp_path, small_root, small_config):
    *environments, folder = ENVIRONMENTS[name]
    for command, environment in zip(COMMANDS, environments, strict=True):
        done = run_typed(typed(command, tmp_path / folder, small_config), tmp_path / "prefect", environment)
        assert done.returncode == 0, done.stderr[-3000:]
    assert differing(tmp_path / folder, small_root) == []


def test_sixty_four_open_files_are_enough(tmp_path, small_root, small_config):
    for command in COMMANDS:
        done = run_typed(
            typed(command, tmp_path / "root", small_config), tmp_path / "prefect",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    assert differing(tmp_path / "root", small_root) == []


@pytest.mark.parametrize("command", [*COMMANDS, "finetune"])
def test_three_gigabytes_of_address_space_are_told_to_be_too_little(command, tmp_path, small_config):
    done = run_typed(
        typed(command, tmp_path / "root", small_config), tmp_path / "prefect",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3_000_000_000, 3_000_000_000)),
    )  # fmt: skip
    assert done.returncode == 2
    [told] = error_lines(done.stderr)
    assert told.startswith("error: address space: 3.0 GB are allowed") and "ulimit -v unlimited" in told
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "root").exists()


@pytest.mark.parametrize("name", CLOCKS)
def test_tables_are_the_same_whatever_the_clock_says(name, tmp_path, small_root, small_config):
    root, home = tmp_path / "root", tmp_path / "prefect"
    with false_clock(tmp_path, CLOCKS[name](int(time.time()) // DAY_S)) as environment:
        for command in COMMANDS:
            done = run_typed(typed(command, root, small_config), home, environment)
            if name == "jumping" and done.returncode:  # it may have been before the root's last run
                assert told_of_the_clock(done)
            else:
                assert done.returncode == 0, done.stderr[-3000:]
    for command in COMMANDS:  # under a clock that is right
        done = run_typed(typed(command, root, small_config), home)
        assert done.returncode == 0, done.stderr[-3000:]
    assert differing(root, small_root) == []


def test_a_clock_before_the_roots_last_run_is_told(tmp_path, small_root, small_config):
    root = shutil.copytree(small_root, tmp_path / "root")
    with false_clock(tmp_path, [1 - int(time.time()) // DAY_S]) as environment:
        done = run_typed(typed("curate", root, small_config, "clips.bridge_gap_ms=701"), tmp_path / "home", environment)
    assert told_of_the_clock(done), done.stderr[-3000:]
    assert table_digest(root, "media") == table_digest(small_root, "media")


def told_of_the_clock(done):
    """Requests are counted by the hour."""
    return done.returncode == 2 and [line[:13] for line in error_lines(done.stderr)] == ["error: clock:"]


@contextmanager
def false_clock(folder, days):
    """The environment of a process whose wall clock is set to so many days later, every two seconds to the next."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler (apt-get install gcc): the clock is set by a library made here")
    library, shift, ended = folder / "set_clock.so", folder / "shift", threading.Event()
    source = Path(__file__).with_name("set_clock.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", source, "-o", library], check=True)
    shift.write_bytes(struct.pack("<q", days[0] * DAY_S))

    def set_on():
        for later in itertools.cycle(days):
            with shift.open("r+b") as file:
                file.write(struct.pack("<q", later * DAY_S))
            if ended.wait(2):
                return

    setter = threading.Thread(target=set_on)
    setter.start()
    try:
        yield {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)}
    finally:
        ended.set()
        setter.join()
