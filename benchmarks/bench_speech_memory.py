"""Peak memory of the fast engine on one long file. Asked: below 1 GB for 6 hours.

    python -m benchmarks.bench_speech_memory [MEDIA] [--hours 6]

Without a file: speech over music and noise without a pause, from ../shared/media. The sound is repeated to the asked
length as 32 kbit/s AAC, and segmented by a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.limits import tell
from extract.media import ffmpeg_path
from extract.speech.engine import Segment

SCRIPT = """
import json, sys
from pathlib import Path
from extract.speech.segmentation import segment_speech
segments = segment_speech(sys.argv[1])
peak_kb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([peak_kb * 1024, segments]))
"""
# VmHWM, not ru_maxrss: the latter begins with the peak of the process that started this one.


def peak_of_long_file(sound: Path, directory: Path, hours: float) -> tuple[int, list[Segment]]:
    """Repeat a sound to `hours` and segment that.

    Returns:
        Highest resident memory of the segmenting process in bytes (ffmpeg, its child, is not in it), and the segments.
    """
    unit, long = directory / "unit.m4a", directory / "long.m4a"
    ffmpeg = [ffmpeg_path(), "-nostdin", "-v", "error", "-y"]
    encode = ["-i", str(sound), "-vn", "-ac", "1", "-ar", "16000", "-c:a", "aac", "-b:a", "32k", str(unit)]
    repeat = ["-stream_loop", "-1", "-i", str(unit), "-t", str(hours * 3600), "-c", "copy", str(long)]
    for command in (encode, repeat):
        subprocess.run([*ffmpeg, *command], check=True, timeout=300)
    command = [sys.executable, "-c", SCRIPT, str(long)]
    done = subprocess.run(command, check=True, timeout=3600, capture_output=True, cwd=Path(__file__).parents[1])
    peak_bytes, segments = json.loads(done.stdout)
    return peak_bytes, [(label, start, end) for label, start, end in segments]


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
