"""Both segmentation engines in turn on the same files: CPU-seconds, ratio, and labels that agree.

    python -m benchmarks.bench_speech [MEDIA ...] [--unlike] [--network smn|sm] [--exact]

Without files it takes the recordings of ../shared/media and mixes made of them (bench_speech_mixes.py), or ten files
of other voices, musics, signals and codecs (--unlike, bench_speech_unlike.py). The library
runs in .venv-tensorflow (`make setup-tensorflow`); its time is that of a warm call: the first file goes twice, and
the first time does not count. CPU-seconds grow when other programs share the cores, so the fast engine runs before and
after the library and its mean counts; the load average is printed.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench_speech_mixes import MEDIA, write_mixes
from benchmarks.bench_speech_unlike import write_unlike
from benchmarks.limits import tell
from extract.speech.engine import LABEL_MS, Segment
from extract.speech.segmentation import SpeechSettings, run_library, segment_speech, to_segment

LABELS = ["no_energy", "speech", "music", "noise"]
LONG_FILE_S = 300


@dataclass(frozen=True)
class Comparison:
    """Both engines on one file, or on all."""

    name: str
    seconds: float
    library_cpu_s: float
    fast_cpu_s: float
    num_gated: int
    """Labels of 20 ms where the energy gate is open."""
    num_equal: int
    edge_off_ms: int

    @property
    def ratio(self) -> float:
        """How many times more audio a CPU-second of the fast engine labels."""
        return self.library_cpu_s / self.fast_cpu_s

    @property
    def percent_equal(self) -> float:
        """Of the labels past the energy gate."""
        return 100 * self.num_equal / max(self.num_gated, 1)

    def plus(self, other: "Comparison") -> "Comparison":
        """The sum of two."""
        return Comparison(
            self.name,
            self.seconds + other.seconds,
            self.library_cpu_s + other.library_cpu_s,
            self.fast_cpu_s + other.fast_cpu_s,
            self.num_gated + other.num_gated,
            self.num_equal + other.num_equal,
            max(self.edge_off_ms, other.edge_off_ms),
        )

    def line(self) -> str:
        """For people."""
        return (
            f"{self.name:20} {self.seconds:5.0f} s  audio/CPU-s: library {self.seconds / self.library_cpu_s:5.1f} "
            f"fast {self.seconds / self.fast_cpu_s:6.1f} ratio {self.ratio:5.2f}  "
            f"equal {self.num_equal}/{self.num_gated} = {self.percent_equal:.3f} %  "
            f"speech edges off by at most {self.edge_off_ms} ms"
        )


def to_labels(segments: list[Segment]) -> NDArray[np.int64]:
    """Segments to one label number each 20 ms."""
    counts = [(end - start) // LABEL_MS for _, start, end in segments]
    return np.repeat([LABELS.index(label) for label, _, _ in segments], counts)


def speech_edges(segments: list[Segment]) -> set[int]:
    """Where speech begins or ends, in ms."""
    return {edge for label, *edges in segments if label == "speech" for edge in edges}


def measure_fast(path: Path, settings: SpeechSettings) -> tuple[list[Segment], float]:
    """Segments and CPU-seconds of this process and of ffmpeg."""
    before = sum(os.times()[:4])
    segments = segment_speech(path, settings=settings)
    return segments, sum(os.times()[:4]) - before


def main() -> None:
    """Print a line for each file, one for all, and what two threads gain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", nargs="*", type=Path)
    parser.add_argument("--unlike", action="store_true")
    parser.add_argument("--network", choices=["smn", "sm"], default="smn")
    parser.add_argument("--exact", action="store_true")
    arguments = parser.parse_args()
    settings = SpeechSettings(network=arguments.network, exact=arguments.exact)
    with tempfile.TemporaryDirectory() as scratch:
        paths = arguments.media or (
            write_unlike(Path(scratch)) if arguments.unlike else [*MEDIA, *write_mixes(Path(scratch))]
        )
        if len(paths) > 1:
            compare_threads(paths[-8:], settings)
        compare(paths, settings)


def compare(paths: list[Path], settings: SpeechSettings) -> None:
    """Run both engines on every file and print what came out."""
    segment_speech(paths[0], settings=settings)
    before = [measure_fast(path, settings)[1] for path in paths]
    started = time.perf_counter()
    _, *library = run_library([paths[0], *paths], settings)
    print(f"library: {time.perf_counter() - started:.0f} s wall with start-up", flush=True)
    found_all: list[Comparison] = []
    for path, result, cpu_s_before in zip(paths, library, before, strict=True):
        found, cpu_s = measure_fast(path, settings)
        one = compare_file(path.name, [to_segment(*segment) for segment in result["segments"]], found)
        one = replace(one, library_cpu_s=result["cpu_s"], fast_cpu_s=(cpu_s_before + cpu_s) / 2)
        print(one.line(), flush=True)
        found_all.append(one)
    tell_limits(found_all)
    print_load()


def tell_limits(found: list[Comparison]) -> None:
    """What was asked for, in all and in the worst file; shares of labels in files above 5 minutes."""
    total = reduce(Comparison.plus, found, Comparison("all", 0.0, 0.0, 0.0, 0, 0, 0))
    print(total.line())
    slowest = min(found, key=lambda one: one.ratio)
    tell("audio per CPU-second, times the library's", total.ratio, "times", at_least=5)
    tell("  the same, aimed for", total.ratio, "times", at_least=8)
    tell(f"  the slowest file, {slowest.name}", slowest.ratio, "times", at_least=5)
    tell("labels past the energy gate equal", total.percent_equal, "%", at_least=99.9)
    long = [one for one in found if one.seconds > LONG_FILE_S]
    if long:
        worst = min(long, key=lambda one: one.percent_equal)
        tell(f"  the worst file above 5 minutes, {worst.name}", worst.percent_equal, "%", at_least=99.9)
    tell("speech edges off", total.edge_off_ms, "ms", at_most=20)


def compare_file(name: str, expected: list[Segment], found: list[Segment]) -> Comparison:
    """Count equal labels where the library's energy gate is open, and how far a speech edge is off at most."""
    reference, labels = to_labels(expected), to_labels(found)
    length = min(len(reference), len(labels))
    gated = reference[:length] != LABELS.index("no_energy")
    num_equal = int((labels[:length] == reference[:length])[gated].sum())
    edge_off_ms = farthest(speech_edges(found), speech_edges(expected))
    return Comparison(name, max(len(reference), len(labels)) / 50, 0.0, 0.0, int(gated.sum()), num_equal, edge_off_ms)


def farthest(edges: set[int], others: set[int]) -> int:
    """The largest distance, in ms, from an edge of either set to the nearest of the other; 10 s where there is none."""
    if not edges or not others:
        return 10_000 if edges or others else 0
    pairs = [(edge, others) for edge in edges] + [(edge, edges) for edge in others]
    return max(min(abs(edge - other) for other in candidates) for edge, candidates in pairs)


def print_load() -> None:
    """How busy the machine is, others' work and this."""
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


def compare_threads(paths: list[Path], settings: SpeechSettings) -> None:
    """Time pairs of files one after another and in two threads, as the flow runs batches."""
    print_load()
    segment_speech(paths[0], settings=settings)
    apart = together = 0.0
    for pair in zip(paths[::2], paths[1::2], strict=False):
        started = time.perf_counter()
        alone = [segment_speech(path, settings=settings) for path in pair]
        apart += time.perf_counter() - started
        started = time.perf_counter()
        with ThreadPoolExecutor(2) as threads:
            assert alone == list(threads.map(partial(segment_speech, settings=settings), pair))
        together += time.perf_counter() - started
    print(
        f"pairs of files: {apart:.1f} s one after another, {together:.1f} s in 2 threads: {apart / together:.2f} x",
        flush=True,
    )


if __name__ == "__main__":
    main()
