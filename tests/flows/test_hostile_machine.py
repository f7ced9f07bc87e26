"""A disk that is full, a root that cannot be written, two runs at once: each is told in one line, and nothing is lost.

Disks are real: small file systems in memory, mounted where only the commands of one test see them.
"""

import os
import re
import shlex
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from datasets.tables import table_digest
from tests.flows.test_pipeline import WORKING_TABLES
from tests.flows.typed import TOP, differing, error_lines, own_environment, run_typed, typed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ONE_BY_ONE = ("run.queries_per_batch=1", "run.videos_per_batch=1", "run.clips_per_batch=4", "download.min_free_bytes=0")
# So many per cent of what the pipeline needs, so that a download, the features and the checkpoint find no room.
PERCENTS = (30, 80, 90)
WITH_3D = "features.encoder_3d=resnext101_3d"
# A table that each command has begun to fill when something happens to it.
BEGUN = {"curate": "media", "featurize": "log_mel"}
PLENTY = "nr_inodes=100k"
# Per command of one root: how its disk is mounted, what it ends with, and what the one line says.
SHORT_OF = (
    ("curate", "ro", 2, "cannot be written"),
    ("curate", "rw,nr_inodes=$((USED + 30))", 3, "No space left on device"),
    ("curate", PLENTY, 0, ""),
    ("featurize", "ro", 2, "cannot be written"),
    ("featurize", "rw,nr_inodes=$((USED + 4))", 3, "No space left on device"),
    ("featurize", PLENTY, 0, ""),
)


@cache
def own_mounts() -> list[str]:
    """What runs a command that may mount for itself alone; nothing where the machine allows no such thing."""
    for command in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        trial = [*command, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("needs the right to mount a file system in memory, which many containers deny: unshare --mount")


def run_on_disks(steps, folder, changes=None):
    """(code, log, temporary files left) of each command, over `folder/root` mounted as its options say.

    The root is copied to `folder/kept` at the end, since the mount ends with the shell.
    """
    root, kept = folder / "root", folder / "kept"
    root.mkdir()
    lines = ["set -u", f"mount -t tmpfs -o size=2g tmpfs {root}"]
    for number, (options, command) in enumerate(steps):
        lines += [
            f"USED=$(df --output=iused {root} | tail -1)",
            f"mount -o remount,{options} {root} || exit 9",
            f"{shlex.join(command)} >{folder}/{number}.log 2>&1 </dev/null",
            f"echo $? >{folder}/{number}.code",
            f"find {root} -name '*.tmp' >{folder}/{number}.left",
        ]
    script = "\n".join([*lines, f"cp -a {root} {kept}"])
    done = subprocess.run(
        [*own_mounts(), "bash", "-c", script],
        cwd=TOP, env=own_environment(folder / "prefect", changes), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [
        [(folder / f"{number}.{end}").read_text() for end in ("code", "log", "left")] for number in range(len(steps))
    ]
    return [(int(code), log, left) for code, log, left in found]


def assert_told_in_one_line(code, log, left):
    assert len(error_lines(log)) == 1 and "Traceback" not in log, (code, log[-3000:])
    assert left == ""


def test_a_disk_that_fills_in_every_stage_loses_nothing(tmp_path, small_root, small_config):
    needed = sum(path.stat().st_blocks for path in Path(small_root).rglob("*")) // 2
    # A download that found no room is a row, done again when it is asked for; any other write ends the run.
    command = [*typed("pipeline", tmp_path / "root", small_config, *ONE_BY_ONE, WITH_3D), "--retry=disk_full"]
    *full, last = run_on_disks(
        [(f"size={needed * percent // 100}k", command) for percent in (*PERCENTS, 1000)], tmp_path
    )
    for code, log, left in full:
        assert code == 3, log[-3000:]
        assert_told_in_one_line(code, log, left)
    assert last[0] == 0, last[1][-3000:]
    for name in WORKING_TABLES:
        assert table_digest(tmp_path / "kept", name) == table_digest(small_root, name), name
    assert differing(tmp_path / "kept", small_root) == []


def test_a_disk_that_is_read_only_or_has_no_room_for_names_loses_nothing(tmp_path, small_root, small_config):
    steps = [(options, typed(name, tmp_path / "root", small_config, *ONE_BY_ONE)) for name, options, *_ in SHORT_OF]
    for (name, options, code, told), seen in zip(SHORT_OF, run_on_disks(steps, tmp_path), strict=True):
        assert seen[0] == code, (name, options, seen[1][-3000:])
        if code:
            assert_told_in_one_line(*seen)
            assert told in error_lines(seen[1])[0]
    assert differing(tmp_path / "kept", small_root) == []


def test_a_read_only_root_is_refused_before_prefect_is_asked(tmp_path, small_config):
    steps = [("ro", typed("finetune", tmp_path / "root", small_config))]
    nobody = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    [(code, log, left)] = run_on_disks(steps, tmp_path, nobody)
    assert code == 2 and "cannot be written" in log
    assert_told_in_one_line(code, log, left)
    assert list((tmp_path / "kept").iterdir()) == []


def test_of_two_runs_typed_at_once_the_second_refuses_and_says_so(tmp_path, small_root, small_config):
    root, home = tmp_path / "root", tmp_path / "prefect"
    for name, begun in BEGUN.items():
        command = typed(name, root, small_config, *ONE_BY_ONE)
        with ended_after(
            subprocess.Popen(command, cwd=TOP, env=own_environment(home), stdout=subprocess.DEVNULL)
        ) as first:
            wait_for_part(root / begun, first)
            first.send_signal(signal.SIGSTOP)  # so that it cannot end while the second one starts
            second = run_typed(command, home)
            first.send_signal(signal.SIGCONT)
            assert second.returncode == 3
            busy = f"error: another run works on the root {root}: wait for it to end, or stop it"
            assert error_lines(second.stderr) == [busy]
            assert first.wait(600) == 0
    assert differing(root, small_root) == []


def test_ctrl_c_in_a_terminal_ends_a_run_in_one_line_and_the_next_one_ends_as_ever(tmp_path, small_root, small_config):
    root, home = tmp_path / "root", tmp_path / "prefect"
    for name, begun in BEGUN.items():
        command = typed(name, root, small_config, *ONE_BY_ONE)
        ours, its = os.openpty()
        process = subprocess.Popen(
            command, cwd=TOP, env=own_environment(home), preexec_fn=lambda its=its: os.login_tty(its)
        )
        os.close(its)
        shown = []
        reader = threading.Thread(target=read_terminal, args=(ours, shown), daemon=True)
        reader.start()
        with ended_after(process):
            wait_for_part(root / begun, process)
            os.write(ours, b"\x03")
            assert process.wait(60) == 130
        reader.join(60)
        os.close(ours)
        log = b"".join(shown).decode()
        assert_told_in_one_line(130, log, "")
        assert re.match(
            r"error: interrupted(, \d+ of \d+ left to .*)?; the same command goes on", error_lines(log)[0]
        ), log
        done = run_typed(command, home)
        assert done.returncode == 0, done.stderr[-3000:]
    assert differing(root, small_root) == []


@contextmanager
def ended_after(process):
    """Whatever a test finds, nothing of it is left that is stopped or runs on."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_part(folder, process):
    """Until a run has written a part of a table."""
    while not list(folder.rglob("*.parquet")):
        assert process.poll() is None, "it ended before"
        time.sleep(0.05)


def read_terminal(descriptor, shown):
    with suppress(OSError):  # EIO: nobody has the other end any more
        while data := os.read(descriptor, 65536):
            shown.append(data)
