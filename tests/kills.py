"""Kill the pipeline at random moments and start it again; at the end nothing tells that it ever happened.

The whole process group gets SIGKILL. Compared with an undisturbed run over the same site: digests of all tables; files
that were complete and asked for again; processes and temporary files left over.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from datasets.schemas import TABLES
from datasets.tables import table_digest
from demo.site import Site, SiteHandler, open_site, running
from flows.commands.demo import SITE_VARIABLE

TOP = Path(__file__).parents[1]
SMALL = (
    "splits.train=8",
    "splits.val=2",
    "splits.test=4",
    "train.epochs=1",
    "train.batch_size=4",
    "train.embedding_dim=64",
    "train.widths=[16, 16, 32, 64, 128]",
    "train.features=2d+3d",
    "features.encoder_3d=resnext101_3d",
    "features.weights_3d=untrained",
    "features.window_step_3d=48",
    "run.first_retry_delay_s=0",
    "run.max_retry_delay_s=0",
)
"""The demo's configuration at the size of a test, with the 3D path that the demo leaves out."""
ONE_BY_ONE = ("run.queries_per_batch=1", "run.videos_per_batch=1", "run.clips_per_batch=4")
"""Batches so small that a stage is killed with some of its parts written and some not."""
# What a run spends and what it measures of itself may differ; everything it makes may not.
COMPARED = sorted(set(TABLES) - {"requests", "evaluations", "tombstones", "regenerations"})


@dataclass
class Outcome:
    """What a series of kills left behind."""

    num_kills: int
    differing: list[str]
    """Tables whose digest is not that of the undisturbed run."""
    fetched_again: list[str]
    """Videos asked for again though their file was complete."""
    orphans: list[str]
    leftovers: list[str]
    moments_s: list[float] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Nothing tells of the kills."""
        return not (self.differing or self.fetched_again or self.orphans or self.leftovers)


class LoggedHandler(SiteHandler):
    """Keeps what was asked for."""

    asked: ClassVar[list[str]] = []

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Called once an answer begins."""
        self.asked.append(self.path)


@contextmanager
def serve_logged(channel: Path) -> Iterator[Site]:
    """The channel's site in this process, its requests in `LoggedHandler.asked`."""
    site = open_site(channel)
    site.RequestHandlerClass = LoggedHandler
    LoggedHandler.asked.clear()
    with running(site):
        yield site


def start_pipeline(root: Path, site: Site) -> "subprocess.Popen[bytes]":
    """The pipeline over the site in a process group of its own."""
    overrides = [
        f"--set={value}" for value in (*SMALL, *ONE_BY_ONE, f"source.watch_url={site.url}/watch?v={{video_id}}")
    ]
    command = [sys.executable, "-m", "flows", "pipeline", "--config", str(TOP / "configs/demo.toml")]
    return subprocess.Popen(
        [*command, "--root", str(root), *overrides],
        cwd=TOP,
        env={**os.environ, SITE_VARIABLE: site.url},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_repeatedly(folder: Path, channel: Path, num_kills: int, seed: int) -> Outcome:
    """One undisturbed run, then runs that are killed `num_kills` times in all and at last left alone.

    A run that ends before its time to die is whole, and the next one begins in a new root.
    """
    moments, again, outcome = random.Random(seed), set(), Outcome(0, [], [], [], [])
    roots = [folder / "killed_0"]
    with serve_logged(channel) as site:
        began = time.monotonic()
        _finish(start_pipeline(folder / "undisturbed", site))
        longest_s = time.monotonic() - began
        while True:
            kept, num_asked = _complete(roots[-1]), len(LoggedHandler.asked)
            is_last = outcome.num_kills == num_kills
            moment_s = None if is_last else moments.uniform(0, longest_s)
            was_killed = _kill_after(start_pipeline(roots[-1], site), moment_s)
            again |= kept & _media_asked(num_asked)
            outcome.orphans += _processes_of(roots[-1])
            if is_last:
                break
            if was_killed:
                outcome.num_kills += 1
                outcome.moments_s.append(round(moment_s or 0, 1))
            else:
                roots.append(folder / f"killed_{len(roots)}")
    outcome.fetched_again = sorted(again)
    for root in roots:
        _compare(folder / "undisturbed", root, outcome)
    return outcome


def _compare(undisturbed: Path, root: Path, outcome: Outcome) -> None:
    for name in COMPARED:
        if table_digest(undisturbed, name) != table_digest(root, name):
            outcome.differing.append(f"{root.name}/{name}")
    outcome.leftovers += [str(path) for end in ("tmp", "part") for path in root.rglob(f"*.{end}")]


def _finish(process: "subprocess.Popen[bytes]") -> None:
    if process.wait() != 0:
        raise RuntimeError(f"the pipeline ended with {process.returncode}: run it by hand to see why")


def _kill_after(process: "subprocess.Popen[bytes]", seconds: float | None) -> bool:
    """True if the pipeline lived until it was killed; None lets it end."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    _finish(process)
    return False


def _complete(root: Path) -> set[str]:
    return {path.stem for path in (root / "media_files").rglob("*.mp4")}


def _media_asked(since: int) -> set[str]:
    return {Path(path.split("?")[0]).stem for path in LoggedHandler.asked[since:] if path.startswith("/media/")}


def _processes_of(root: Path) -> list[str]:
    """Command lines that still name the root, a second after their group was killed."""
    time.sleep(1)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(root) in words:
            found.append(words)
    return found
