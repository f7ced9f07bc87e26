"""Both segmentation engines in turn on the same files: CPU-seconds, ratio, and labels that agree.

    python -m benchmarks.bench_speech [MEDIA ...] [--network smn|sm] [--exact]

Without files it takes the recordings of ../shared/media and mixes made of them (bench_speech_mixes.py). The library
runs in .venv-tensorflow (`make setup-tensorflow`); its time is that of a warm call, without start-up.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench_speech_mixes import MEDIA, write_mixes
from extract.speech import SpeechSettings, run_library, segment_speech, to_segment
from extract.speech_engine import LABEL_MS, Segment

LABELS = ["no_energy", "speech", "music", "noise"]


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
    """Print a line for each file and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", nargs="*", type=Path)
    parser.add_argument("--network", choices=["smn", "sm"], default="smn")
    parser.add_argument("--exact", action="store_true")
    arguments = parser.parse_args()
    settings = SpeechSettings(network=arguments.network, exact=arguments.exact)
    with tempfile.TemporaryDirectory() as scratch:
        paths = arguments.media or [*MEDIA, *write_mixes(Path(scratch))]
        compare(paths, settings)


def compare(paths: list[Path], settings: SpeechSettings) -> None:
    """Run both engines on every file and print what came out."""
    segment_speech(paths[0], settings=settings)
    started = time.perf_counter()
    library = run_library(paths, settings)
    print(f"library: {time.perf_counter() - started:.0f} s wall with start-up")
    seconds = fast_cpu_s = library_cpu_s = num_labels = num_equal = 0.0
    for path, result in zip(paths, library, strict=True):
        expected = [to_segment(*segment) for segment in result["segments"]]
        found, cpu_s = measure_fast(path, settings)
        labels, reference = to_labels(found), to_labels(expected)
        gated = reference != 0
        equal = (labels == reference)[gated].sum()
        edges = len(speech_edges(found) ^ speech_edges(expected))
        print(
            f"{path.name:24} {len(labels) / 50:6.0f} s  library {result['cpu_s']:6.2f} CPU-s  fast {cpu_s:6.2f}  "
            f"ratio {result['cpu_s'] / cpu_s:5.2f}  equal {100 * equal / max(gated.sum(), 1):7.3f} %  edges off {edges}"
        )
        seconds += len(labels) / 50
        fast_cpu_s, library_cpu_s = fast_cpu_s + cpu_s, library_cpu_s + result["cpu_s"]
        num_labels, num_equal = num_labels + gated.sum(), num_equal + equal
    print(
        f"{'all':24} {seconds:6.0f} s  library {library_cpu_s:6.2f} CPU-s  fast {fast_cpu_s:6.2f}  "
        f"ratio {library_cpu_s / fast_cpu_s:5.2f}  equal {100 * num_equal / num_labels:7.3f} %"
    )


if __name__ == "__main__":
    main()
