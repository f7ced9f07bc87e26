"""CPU time: other work on a machine moves it less than wall time."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path


def cpu_seconds() -> float:
    """Of this process and its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def living_children_seconds() -> float:
    """Of this process's children that still run, which `cpu_seconds` does not know of."""
    children = [pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """CPU-seconds of the whole machine since it started."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(ticks) - ticks[3] - ticks[4]) / 100


def measure(run: Callable[[], None]) -> tuple[float, float, float]:
    """(CPU-seconds, those of processes that it leaves running too; wall seconds; CPU-seconds of others meanwhile)."""
    before = cpu_seconds() + living_children_seconds(), time.perf_counter(), busy_seconds()
    run()
    after = cpu_seconds() + living_children_seconds(), time.perf_counter(), busy_seconds()
    cpu, wall, busy = (later - earlier for later, earlier in zip(after, before, strict=True))
    return cpu, wall, max(0.0, busy - cpu)
