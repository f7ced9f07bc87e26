"""How long people wait for each command before it does their work, whole processes as a shell starts them.

    python -m benchmarks.bench_startup [ROOT] [--repeats 5]

ROOT is a root that the demo has ended on; where it is not there, the demo makes it first. Limits are on the median wall
time on two quiet cores; CPU-seconds of the command and all that it started stand beside it, and how busy other programs
kept the machine. The commands use a Prefect home of their own and no configured server.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.cpu_time import measure
from benchmarks.limits import tell

TOP = Path(__file__).parents[1]
CONFIG = "--config=configs/demo.toml"
FIRST_TASK = re.compile(r"search queries: \d")
# A site that does not answer: the first task ends at once, with rows that say so, and its progress is told.
NOBODY = "http://127.0.0.1:9"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", default="data/demo")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment = {**kept, "PREFECT_HOME": f"{folder}/prefect", "DEMO_SITE": NOBODY}
        root = arguments.root
        if not (TOP / root / "evaluations").is_dir():
            run(["demo", f"--root={root}"], environment)
        release = sorted((TOP / root / "releases").glob("*.*.*"))
        commands = {
            "--version": (2, ["--version"]),
            "an error in the configuration": (2, ["curate", CONFIG, f"--root={root}", "--set=search.depth=0"]),
            "status": (3, ["status", CONFIG, f"--root={root}"]),
            "doctor": (3, ["doctor", "curate", CONFIG, f"--root={root}"]),
            "verify": (3, ["verify", root]),
            "report": (6, ["report", f"--root={root}", "--videos=1"]),
        }
        if release:
            commands["am-i-in"] = (3, ["am-i-in", str(release[-1]), "--video=AAAAAAAAAAA"])
        for what, (limit, words) in commands.items():
            report(what, limit, arguments.repeats, lambda words=words: run(words, environment))
        # What the features would be made by is known once the encoders are loaded.
        for command, limit in {"curate": 6, "finetune": 6, "evaluate": 6, "featurize": 10, "pipeline": 10}.items():
            words = [command, CONFIG, f"--root={root}"]
            told = f"{command}, nothing to do"
            report(told, limit, arguments.repeats, lambda words=words: run(words, environment, "nothing is left to do"))
        assert not Path(folder, "prefect", "prefect.db").exists(), "a server was started"
        until_first_task(f"{folder}/before", environment)  # the first server of a Prefect home makes the database
        fresh = (f"{folder}/{index}" for index in range(arguments.repeats))
        report("curate, first task", 10, arguments.repeats, lambda: until_first_task(next(fresh), environment))


def report(what: str, limit: float, repeats: int, function: Callable[[], None]) -> None:
    costs = [measure(function) for _ in range(repeats)]
    cpu, wall, busy = (statistics.median(column) for column in zip(*costs, strict=True))
    tell(what, wall, f"s (CPU {cpu:.1f} s, other programs meanwhile {busy:.1f} CPU-s)", at_most=limit)


def run(words: list[str], environment: dict[str, str], says: str = "") -> None:
    command = [sys.executable, "-m", "flows", *words]
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and says in done.stderr, done.stderr


def until_first_task(root: str, environment: dict[str, str]) -> None:
    words = ["curate", CONFIG, f"--root={root}", "--set=run.max_tries=1"]
    command = [sys.executable, "-m", "flows", *words]
    with subprocess.Popen(command, cwd=TOP, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        began = time.monotonic()
        seen = next((line for line in process.stderr if FIRST_TASK.search(line)), None)
        assert seen is not None, f"no task ended in {time.monotonic() - began:.0f} s"
        process.send_signal(signal.SIGKILL)  # what ends after the first task is not measured; the server ends by itself


if __name__ == "__main__":
    main()
