"""Featurize a root in forked processes that kill themselves at a write point; run by test_featurize_killed.

A write point is before a temporary file is written, after it has been flushed, or after it has been renamed.
The encoders are small ones that need no weights: what is tested is the writing. Prefect's engine is left out.
    python -m tests.flows.featurize_and_die FOLDER NUM_KILLS    writes FOLDER/digests.json
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import flows.stages.featurize as featurize
from datasets import files, tables
from datasets.tables import table_digest
from features.clip_features import Encoders
from features.encoders.encoder import Encoder
from features.encoders.table import ENCODERS
from flows.config import load_config
from flows.machinery.locks import hold_root
from flows.machinery.run import Run

NAMES = ("features_2d", "features_3d", "log_mel", "pooled")


class MeanEngine:
    """Stands for a network: means over each window, repeated."""

    name = precision = "mean"
    batch_size = 1

    def run(self, windows: np.ndarray) -> np.ndarray:
        return np.tile(windows.reshape(len(windows), -1, 3).mean(axis=1) + 1, (1, 700))[:, :2048].astype(np.float32)


def load_small(_: Any) -> Encoders:
    return Encoders(*(Encoder(n, ENCODERS[n], MeanEngine(), n, False) for n in ("resnet152", "resnext101_3d")))


def run_in_order(task: Any, batches: list[Any], run: Run, *args: Any, description: str) -> None:
    for batch in batches:
        task.fn(batch, run, *args)


@contextmanager
def run_here(*_: Any) -> Iterator[Any]:
    yield lambda task, *args: SimpleNamespace(result=lambda: task.fn(*args))


def watch_writes(points: list[str], kill_at: int | None) -> None:
    """Record every write point, and die at one of them."""

    def reach(name: str, path: Any) -> None:
        points.append(f"{name} {Path(path).parent.parent.name}")
        if len(points) - 1 == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    write, fsync, rename = files.write_bytes, os.fsync, Path.replace

    def watched_write(path: Any, data: bytes) -> None:
        reach("before writing", path)
        write(path, data)

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        reach("flushed", Path(f"/proc/self/fd/{descriptor}").readlink())

    def watched_rename(self: Path, target: Any) -> Path:
        moved = rename(self, target)
        reach("renamed", target)
        return moved

    files.write_bytes = tables.write_bytes = watched_write
    os.fsync, Path.replace = watched_fsync, watched_rename  # type: ignore  # stand-ins


def featurize_root(root: Path, kill_at: int | None) -> list[str]:
    points: list[str] = []
    watch_writes(points, kill_at)
    featurize.load_encoders, featurize.run_batches = load_small, run_in_order  # type: ignore[assignment]
    featurize.open_runner = run_here  # type: ignore[assignment]
    config = load_config(None, str(root), ("run.clips_per_batch=2",))
    with hold_root(str(root)):
        featurize.compute_features(Run(config, "test"))
    return points


def in_a_fork(root: Path, kill_at: int | None) -> tuple[int, list[str]]:
    """(signal that ended it, write points)."""
    report = root.parent / "points.json"
    child = os.fork()
    if child == 0:
        report.write_text(json.dumps(featurize_root(root, kill_at)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return ended_by, [] if ended_by else json.loads(report.read_text())


def main(folder: Path, num_kills: int) -> None:
    prepared = folder / "prepared"
    shutil.copytree(prepared, folder / "whole")
    _, points = in_a_fork(folder / "whole", None)
    expected = {name: table_digest(folder / "whole", name) for name in NAMES}
    killed = []
    for point in np.linspace(0, len(points) - 1, num_kills).astype(int).tolist():
        root = folder / f"killed_{point}"
        shutil.copytree(prepared, root)
        ended_by, _ = in_a_fork(root, point)
        again, _ = in_a_fork(root, None)
        digests = {name: table_digest(root, name) for name in NAMES}
        leftovers = len(list(root.rglob("*.tmp")))
        killed.append(
            {"at": points[point], "ended_by": ended_by, "again": again, "digests": digests, "leftovers": leftovers}
        )
    (folder / "digests.json").write_text(json.dumps({"expected": expected, "killed": killed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
