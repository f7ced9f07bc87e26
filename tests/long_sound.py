"""Hours of sound, segmented by a process of its own whose memory is measured."""

import json
import subprocess
import sys
from pathlib import Path

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
