"""A disk that is full, a root that cannot be written, two runs at once: each is told in one line, and nothing is lost.

Disks are real: small file systems in memory, mounted where only the commands of one test see them.
"""

import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from datasets.tables import table_digest
from tests.flows.conftest import CONFIGS, SMALL
from tests.flows.test_pipeline import WORKING_TABLES

TOP = Path(__file__).parents[2]
ONE_BY_ONE = ("run.queries_per_batch=1", "run.videos_per_batch=1", "run.clips_per_batch=4", "download.min_free_bytes=0")
# So many per cent of what the pipeline needs, so that a download, the features and the checkpoint find no room.
PERCENTS = (30, 80, 90)
FILL_AND_GROW = """
mount -t tmpfs -o size=${1}k tmpfs "$ROOT"
for size in "${@:2}"; do
  code=0
  "${PIPELINE[@]}" >"$LOGS/$size.log" 2>&1 || code=$?
  echo "$code" >"$LOGS/$size.code"
  find "$ROOT" -name '*.tmp' >"$LOGS/$size.leftovers"
  mount -o remount,size=${size}k "$ROOT"
done
"${PIPELINE[@]}" >"$LOGS/last.log" 2>&1
cp -a "$ROOT/." "$KEPT"
"""
READ_ONLY = """
mount --bind -o ro "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
"${PIPELINE[@]}"
"""


@cache
def own_mounts() -> list[str]:
    """What runs a command that may mount for itself alone; nothing where the machine allows no such thing."""
    for command in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        trial = [*command, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("needs the right to mount a file system in memory, which many containers deny: unshare --mount")


def command_of(name, root, config):
    overrides = [f"--set={value}" for value in (*SMALL, *ONE_BY_ONE, f"source.watch_url={config.source.watch_url}")]
    return [sys.executable, "-m", "flows", name, f"--config={CONFIGS / 'demo.toml'}", f"--root={root}", *overrides]


def run_mounted(script, command, sizes, **places):
    """A bash script with its own mounts; $PIPELINE is the command, and `places` are folders that it names."""
    words = " ".join(f"'{word}'" for word in command)
    text = f"set -euo pipefail\nPIPELINE=({words})\n{script}"
    environment = {**os.environ, **{name: str(place) for name, place in places.items()}}
    return subprocess.run(
        [*own_mounts(), "bash", "-c", text, "bash", *map(str, sizes)],
        cwd=TOP, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def kilobytes(root):
    return sum(path.stat().st_blocks for path in Path(root).rglob("*")) // 2


def error_lines(log):
    return [line for line in log.splitlines() if line.startswith("error: ")]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_disk_that_fills_in_every_stage_loses_nothing(tmp_path, small_root, small_config, monkeypatch):
    monkeypatch.setitem(os.environ, "PREFECT_API_URL", PREFECT_API_URL.value())
    folders = {name: tmp_path / name.lower() for name in ("ROOT", "LOGS", "KEPT")}
    for folder in folders.values():
        folder.mkdir()
    first, *sizes = [kilobytes(small_root) * percent // 100 for percent in (*PERCENTS, 1000)]
    # A download that found no room is a row, done again when it is asked for; any other write ends the run.
    command = [*command_of("pipeline", folders["ROOT"], small_config), "--retry=disk_full"]
    done = run_mounted(FILL_AND_GROW, command, [first, *sizes], **folders)
    logs = folders["LOGS"]
    print(*(f"{size} KB: {error_lines((logs / f'{size}.log').read_text())}" for size in sizes), sep="\n")
    assert done.returncode == 0, (done.stderr, (logs / "last.log").read_text()[-3000:])
    for size in sizes:
        log = (logs / f"{size}.log").read_text()
        assert (logs / f"{size}.code").read_text().strip() == "3", log[-3000:]
        assert len(error_lines(log)) == 1 and "Traceback" not in log, log[-3000:]
        assert not (logs / f"{size}.leftovers").read_text()
    for name in WORKING_TABLES:
        assert table_digest(folders["KEPT"], name) == table_digest(small_root, name), name
    assert not list(folders["KEPT"].rglob("*.tmp")) and not list(folders["KEPT"].rglob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["curate", "finetune"])
def test_a_root_on_a_read_only_disk_is_refused_in_one_line_before_prefect_is_asked(command, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "PREFECT_API_URL", "http://127.0.0.1:9/api")  # nothing answers there
    words = [sys.executable, "-m", "flows", command, f"--config={CONFIGS / 'demo.toml'}", f"--root={tmp_path}"]
    done = run_mounted(READ_ONLY, words, [], ROOT=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"root: {tmp_path} cannot be written" in done.stderr
    assert all("Traceback" not in line for line in done.stderr.splitlines())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_of_two_runs_on_one_root_the_second_refuses_and_says_so(tmp_path, small_root, small_config, monkeypatch):
    monkeypatch.setitem(os.environ, "PREFECT_API_URL", PREFECT_API_URL.value())
    command = command_of("curate", tmp_path, small_config)
    first = subprocess.Popen(command, cwd=TOP)
    while not (tmp_path / "discoveries").exists():
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGSTOP)  # so that it cannot end while the second one starts
    second = subprocess.run(command, cwd=TOP, stderr=subprocess.PIPE, text=True)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 3
    busy = f"error: another run works on the root {tmp_path}: wait for it to end, or stop it"
    assert error_lines(second.stderr) == [busy]
    assert first.wait() == 0
    for name in ("videos", "media", "segments", "clips", "splits"):
        assert table_digest(tmp_path, name) == table_digest(small_root, name), name
