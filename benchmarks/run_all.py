"""Run the benchmarks one after the other and write benchmarks/results.md: machine, versions, commit, limits, figures.

    python -m benchmarks.run_all [--media ../shared/media] [--quick] [NAME ...]

Each figure that has a limit (`benchmarks.limits.tell`) is in the first table: the median of the repeats, the least and
the largest. Below it is what each benchmark printed in its last run.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench_speech_mixes import FOLDER, NAMES

TOP = Path(__file__).parents[1]
RESULTS = TOP / "benchmarks" / "results.md"
PLOT = "benchmarks/growth.png"
"""From the top of the checkout, where benchmarks run: results.md shows it."""
LIBRARIES = ("torch", "pyarrow", "numpy", "openvino", "prefect", "yt-dlp", "av")
TOLD = re.compile(
    r"^ *(?P<what>.+): (?P<figure>\S+) (?P<unit>.*), asked (?P<word>at most|at least) (?P<limit>\S+): ratio \S+, \w+$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Benchmark:
    """A program of this folder."""

    asked: str
    """What issue's limit stands beside it."""
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None
    """Arguments of --quick; None where it has no quick form."""
    repeats: int = 1
    """How often it runs; 1 where it repeats its own measurements, or takes long."""
    takes_media: bool = False
    takes_one: bool = False
    """Only one recording."""
    needs: str | None = None
    """A file of this checkout without which it cannot run, and the make target of its folder."""


LIBRARY = ".venv-tensorflow/bin/python"
BENCHMARKS = {
    "bench_download": Benchmark(
        "95 % of a bare yt-dlp loop's speed (B)", (), ("--videos=4", "--seconds=2", "--rounds=3", "--known=10000")
    ),
    "bench_speech": Benchmark(
        "5 times the library's speed, 8 aimed for; 99.9 % of labels equal (C)", takes_media=True, needs=LIBRARY
    ),
    "bench_speech_memory": Benchmark("six hours of audio in 1 GB (C)", takes_media=True, takes_one=True),
    "bench_features": Benchmark("0.31 of the reference's CPU time in bf16 (D)", (), None),
    "bench_model": Benchmark(
        "3 times the original's speed; metrics in 0.2 s (E)", (), ("metrics", "loader"), repeats=3
    ),
    "bench_splits": Benchmark("a million videos in 20 s and 4 GB (C)", (), ("10000",), repeats=3),
    "bench_tables": Benchmark(
        "a million videos in 10 s and 2 GB, a random row in 20 ms (B, D)", (), ("1000",), repeats=3
    ),
    "bench_duplicates": Benchmark("no limit was asked for (C)", (), ("1000",)),
    "bench_growth": Benchmark(
        "exponents near 1; ten million clips planned in 60 s and 6 GB (I)", ("1000000", f"--plot={PLOT}"), ("10000",)
    ),
    "bench_startup": Benchmark("2 s for an error, 3 s for status, 6 s with nothing to do, 10 s to the first task (J)"),
    "bench_search": Benchmark("an answer in 1 s, an index of 4 MB, Python's results in 99 % (O)", (), ("300",)),
    "bench_available": Benchmark("the interval covers in 95 % of 1,000 draws (P)", (), ("--draws=100",)),
    "bench_agreement": Benchmark("90 % of what is planted found where 5 % of the good are lost (P)"),
    "bench_encoded_copies": Benchmark("95 % of copies found, false groups at most 1 % (P)", (), ("1",)),
    "bench_kills": Benchmark("50 kills leave no trace (I)", ("--kills", "50")),
}


def describe_machine() -> list[str]:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=TOP, capture_output=True, text=True)
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return [
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {commit.stdout.strip() or 'unknown'}, "
        f"load {os.getloadavg()[0]:.1f} when it began.",
        f"{len(names)} x {names[0].partition(':')[2].strip() if names else platform.processor()}; Python "
        f"{platform.python_version()}, {versions}.",
    ]


def arguments_of(benchmark: Benchmark, is_quick: bool, media: Path | None) -> tuple[str, ...] | str:
    """Arguments of a benchmark, or why it is skipped."""
    if is_quick and benchmark.quick is None:
        return "skipped: it has no quick form"
    if benchmark.needs and not (TOP / benchmark.needs).exists():
        return f"skipped: there is no {benchmark.needs}; `make setup-tensorflow` makes it"
    if not benchmark.takes_media:
        return (benchmark.quick or ()) if is_quick else benchmark.arguments
    files = [media / name for name in NAMES] if media else []
    if not files or not all(path.is_file() for path in files):
        return f"skipped: it needs recordings, --media FOLDER with {', '.join(NAMES)}"
    if media and media.resolve() == FOLDER:
        return ()  # the benchmark's own choice of them, and mixes made of them
    return tuple(map(str, files[: 1 if benchmark.takes_one else len(files)]))


def run_one(name: str, arguments: tuple[str, ...], repeats: int) -> list[str]:
    """What each run printed; the last one says how it failed, if it did."""
    said: list[str] = []
    for number in range(repeats):
        began = time.monotonic()
        print(f"{name} {' '.join(arguments)} ({number + 1} of {repeats})", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
        took = f"\n\n({time.monotonic() - began:.0f} s)"
        if done.returncode:
            return [*said, f"failed with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}{took}"]
        said.append(
            done.stdout.strip().replace(f"{tempfile.gettempdir()}/", "TMPDIR/") + took
        )  # no path of this machine
    return said


def list_figures(name: str, said: list[str]) -> list[str]:
    """Rows of the first table: every figure of a benchmark that has a limit."""
    figures: dict[tuple[str, str, str, str], list[float]] = {}
    for text in said:
        for told in TOLD.finditer(text):
            key = told["what"], told["unit"], told["word"], told["limit"]
            figures.setdefault(key, []).append(float(told["figure"]))
    rows = []
    for (what, unit, word, limit), values in figures.items():
        middle = statistics.median(values)
        holds = middle <= float(limit) if word == "at most" else middle >= float(limit)
        spread = f"{min(values):g} to {max(values):g} of {len(values)}" if len(values) > 1 else "once"
        verdict = "holds" if holds else "**fails**"
        rows.append(f"| {name} | {what} | {middle:g} {unit} | {spread} | {word} {limit} | {verdict} |")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME")
    parser.add_argument("--media", type=Path, help="folder of recordings; what needs them is skipped without")
    parser.add_argument("--quick", action="store_true", help="small sizes, some minutes in all")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    machine, rows, sections, failed = describe_machine(), [], [], 0
    for name in asked.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        arguments = arguments_of(benchmark, asked.quick, asked.media)
        if isinstance(arguments, str):
            said, title = [arguments], name
        else:
            said, title = (
                run_one(name, arguments, 1 if asked.quick else benchmark.repeats),
                f"{name} {' '.join(arguments)}",
            )
        failed += said[-1].startswith("failed")
        rows += list_figures(name, said)
        sections.append(f"## {title.strip()}\nAsked: {benchmark.asked}.\n\n{said[-1]}")
        table = ["| benchmark | figure | median | least to most | asked | |", "|---" * 6 + "|", *rows]
        # After each one, so that an interrupted run keeps what it measured.
        text = "\n\n".join(["# Results", *machine, "\n".join(table), *sections]) + "\n"
        asked.out.write_text(text, encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
