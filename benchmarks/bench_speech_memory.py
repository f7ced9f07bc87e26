"""Peak memory of the fast engine on one long file. Asked: below 1 GB for 6 hours.

    python -m benchmarks.bench_speech_memory [MEDIA] [--hours 6]

Without a file: speech over music and noise without a pause, from ../shared/media. The sound is repeated to the asked
length as 32 kbit/s AAC, and segmented by a process of its own.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.limits import tell
from tests.long_sound import peak_of_long_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", nargs="?", type=Path)
    parser.add_argument("--hours", type=float, default=6.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        media = arguments.media or write_sound(Path(scratch))
        started = time.perf_counter()
        peak_bytes, segments = peak_of_long_file(media, Path(scratch), arguments.hours)
    print(
        f"{segments[-1][2] / 3_600_000:.2f} h in {time.perf_counter() - started:.0f} s wall, {len(segments)} segments"
    )
    tell("peak of the process", peak_bytes / 1e6, "MB", at_most=1000)


def write_sound(directory: Path) -> Path:
    """Speech that never falls silent."""
    from benchmarks.bench_speech_mixes import write_mixes

    return next(path for path in write_mixes(directory) if path.stem == "kokoro_pink")


if __name__ == "__main__":
    main()
