"""Kill or stop the pipeline at random moments and start it again; at the end nothing tells that it ever happened.

Compared with an undisturbed run over the same site: digests of all tables; files that were complete and asked for
again; processes, locks and temporary files left over. Each run starts a Prefect server of its own, as a typed command
does.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar

from datasets.schemas import TABLES
from datasets.tables import table_digest
from demo.site import Site, SiteHandler, open_site, running
from flows.commands.demo import SITE_VARIABLE
from flows.machinery.locks import RootBusyError, check_root_is_free

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
ONLY_2D = ("features.encoder_3d=none", "train.features=2d")
"""Half the time of a run; `test_kill` has 3D features."""
# What a run spends and what it measures of itself may differ; everything it makes may not.
COMPARED = sorted(set(TABLES) - {"requests", "evaluations", "tombstones", "regenerations"})
KINDS = ("the group", "the process alone", "one child alone", "the group stopped and continued")
MARK = "KILLED_RUN"
"""Variable by whose value every process that a run started is known, whatever its parent and group."""
END_S = 30
"""Children end so soon after their parent: Prefect's server takes 5 s."""
LONGEST_RUN_S = 600
STOPPED_S = 3


@dataclass
class Outcome:
    """What a series of kills left behind."""

    kills: Counter[str] = field(default_factory=Counter)
    """How often what was killed or stopped."""
    endings: Counter[str] = field(default_factory=Counter)
    """How runs ended that lost a child."""
    differing: list[str] = field(default_factory=list)
    """Tables whose digest is not that of the undisturbed run."""
    fetched_again: list[str] = field(default_factory=list)
    """Videos asked for again though their file was complete."""
    orphans: list[str] = field(default_factory=list)
    """Command lines of processes that outlived their run."""
    locked: list[str] = field(default_factory=list)
    """Roots that a run held which had ended."""
    leftovers: list[str] = field(default_factory=list)
    """Temporary files in the roots."""

    @property
    def is_clean(self) -> bool:
        """Nothing tells of the kills."""
        return not (self.differing or self.fetched_again or self.orphans or self.locked or self.leftovers)


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
        f"--set={value}"
        for value in (*SMALL, *ONE_BY_ONE, *ONLY_2D, f"source.watch_url={site.url}/watch?v={{video_id}}")
    ]
    command = [sys.executable, "-m", "flows", "pipeline", "--config", str(TOP / "configs/demo.toml")]
    own = {SITE_VARIABLE: site.url, MARK: str(root.parent), "PREFECT_HOME": str(root.parent / "prefect")}
    with (root.parent / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*command, "--root", str(root), *overrides],
            cwd=TOP,
            env={name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | own,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )


def kill_repeatedly(folder: Path, channel: Path, num_kills: int, seed: int) -> Outcome:
    """One undisturbed run, then runs disturbed `num_kills` times, each of `KINDS` as often, and one that is left alone.

    A run that ends well before its time to die is whole, and the next one begins in a new root. Since each goes on
    where the last one stopped, moments within a quarter of the time of a whole run reach every stage.
    """
    chance, outcome = random.Random(seed), Outcome()
    kinds = list(islice(cycle(KINDS), num_kills))
    chance.shuffle(kinds)
    undisturbed, roots = folder / "undisturbed", [folder / "killed_0"]
    with serve_logged(channel) as site:
        try:
            began = time.monotonic()
            if start_pipeline(undisturbed, site).wait(LONGEST_RUN_S) != 0:
                raise RuntimeError(f"the pipeline failed undisturbed, see {folder / 'log.txt'}")
            longest_s, again, is_whole = time.monotonic() - began, set[str](), False
            while kinds or not is_whole:
                if is_whole:
                    roots.append(folder / f"killed_{len(roots)}")
                kept = {path.stem for path in (roots[-1] / "media_files").rglob("*.mp4")}
                num_asked = len(LoggedHandler.asked)
                process = start_pipeline(roots[-1], site)
                is_whole = _disturb(process, kinds, lambda: chance.uniform(0, longest_s / 4), outcome)
                asked = [path for path in LoggedHandler.asked[num_asked:] if path.startswith("/media/")]
                again |= kept & {Path(path.split("?")[0]).stem for path in asked}
                outcome.orphans += _wait_for_the_end_of_all(folder)
                try:
                    check_root_is_free(str(roots[-1]))
                except RootBusyError as error:
                    outcome.locked.append(str(error))
        finally:
            _kill_all(folder)
    outcome.fetched_again = sorted(again)
    for root in roots:
        for name in COMPARED:
            if table_digest(undisturbed, name) != table_digest(root, name):
                outcome.differing.append(f"{root.name}/{name}")
        outcome.leftovers += [str(path) for end in ("tmp", "part") for path in root.rglob(f"*.{end}")]
    return outcome


def _disturb(
    process: "subprocess.Popen[bytes]", kinds: list[str], moment_s: Callable[[], float], outcome: Outcome
) -> bool:
    """Take one of `kinds` after another at a run, until it ends; True if it ended well."""
    hurt = ""
    while kinds:
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment_s())
            break
        kind = kinds.pop()
        if kind == "the group":
            os.killpg(process.pid, signal.SIGKILL)
        elif kind == "the process alone":
            process.kill()
        elif kind == "one child alone":
            kind = hurt = _kill_child(process, outcome)
        else:
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.killpg(process.pid, signal.SIGCONT)
        outcome.kills[kind] += 1
        print(f"{outcome.kills.total()}: {kind}", flush=True)
    code = process.wait(LONGEST_RUN_S)
    if hurt:
        outcome.endings[f"{hurt}: the run ended with {code}"] += 1
    if code not in (0, -signal.SIGKILL, *((2, 3) if hurt else ())):
        raise RuntimeError(f"a run ended with {code}, having lost {hurt or 'no child'}")
    return code == 0


def _kill_child(process: "subprocess.Popen[bytes]", outcome: Outcome) -> str:
    """Kill the one that was killed least often of the children there are; what it was."""
    mark = Path(f"/proc/{process.pid}/environ").read_bytes().partition(f"{MARK}=".encode())[2].partition(b"\0")[0]
    while process.poll() is None:
        children = {pid: f"child {_name(words)}" for pid, words in _running(mark.decode()) if pid != process.pid}
        for pid, name in sorted(children.items(), key=lambda child: outcome.kills[child[1]])[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return name
        time.sleep(0.05)
    return "no child"


def _name(words: list[str]) -> str:
    if "-m" in words:
        return words[words.index("-m") + 1]
    module = re.search(r"from ([\w.]+) import", " ".join(words))
    return module[1] if module else Path(words[0]).name


def _running(mark: str) -> Iterator[tuple[int, list[str]]]:
    """(pid, command line) of every process that a run of this series started."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name), (folder / "cmdline").read_text(errors="replace").strip("\0").split("\0")


def _wait_for_the_end_of_all(folder: Path) -> list[str]:
    """Command lines of what a run left that has ended; whatever takes longer than it may is killed here."""
    deadline = time.monotonic() + END_S
    while (left := list(_running(str(folder)))) and time.monotonic() < deadline:
        time.sleep(0.2)
    _kill_all(folder)
    return [" ".join(words) for _, words in left]


def _kill_all(folder: Path) -> None:
    for pid, _ in _running(str(folder)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
