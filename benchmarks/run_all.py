"""Run the benchmarks one after the other and write benchmarks/results.md: machine, versions, commit, what each printed.

python -m benchmarks.run_all [--quick] [NAME ...]
"""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

TOP = Path(__file__).parents[1]
RESULTS = TOP / "benchmarks" / "results.md"
# (module, arguments, arguments of --quick or None where it has no quick form, what issue's limit stands beside it)
BENCHMARKS: dict[str, tuple[list[str], list[str] | None, str]] = {
    "bench_growth": (["100000"], ["10000"], "exponents near 1"),
    "bench_splits": ([], ["10000"], "1 million videos: under 20 s and 4 GB"),
    "bench_tables": ([], ["1000"], "a random row under 20 ms"),
    "bench_duplicates": ([], ["1000"], "see the benchmark's own docstring"),
    "bench_kills": (["--kills", "50"], None, "nothing tells of the kills"),
}
LIBRARIES = ("torch", "pyarrow", "numpy", "openvino", "prefect", "yt-dlp", "av")


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


def run_one(name: str, arguments: list[str]) -> str:
    began = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    said = done.stdout.strip() if done.returncode == 0 else f"failed with {done.returncode}: {done.stderr[-2000:]}"
    return f"{said}\n\n({time.monotonic() - began:.0f} s in all)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute or two in all")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    sections, failed = ["# Results", *describe_machine()], 0
    for name in asked.names or BENCHMARKS:
        full, quick, limit = BENCHMARKS[name]
        arguments = quick if asked.quick else full
        if arguments is None:
            continue
        print(f"{name} {' '.join(arguments)}", file=sys.stderr, flush=True)
        said = run_one(name, arguments)
        failed += said.startswith("failed")
        sections.append(f"## {name} {' '.join(arguments)}\nLimit: {limit}.\n\n{said}")
    asked.out.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
