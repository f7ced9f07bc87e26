"""Run the inaSpeechSegmenter package itself. Started by `extract.speech.segmentation` in an environment of its own.

TensorFlow cannot share a process with the rest (it crashes beside triton), so this file imports nothing of ours:
    python library.py OUTPUT.json FFMPEG smn|sm MEDIA...
writes a list with, for each file, {"segments": [[label, start_s, end_s], ...], "cpu_s": of that call}.
"""

import json
import os
import sys
import time
from pathlib import Path


def main(output: str, ffmpeg: str, engine: str, *media_paths: str) -> None:
    """Segment files one after another with one loaded network.

    What the package raises ends this process, and its last line is the message.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from inaSpeechSegmenter import Segmenter  # type: ignore[import-not-found]

    segmenter = Segmenter(vad_engine=engine, detect_gender=False, ffmpeg=ffmpeg)
    results = []
    for media_path in media_paths:
        started = time.process_time(), sum(os.times()[2:4])
        found = segmenter(media_path)
        cpu_s = time.process_time() - started[0] + sum(os.times()[2:4]) - started[1]
        segments = [[str(label), float(start), float(end)] for label, start, end in found]
        results.append({"segments": segments, "cpu_s": cpu_s})
    Path(output).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
