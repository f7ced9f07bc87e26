"""What a GPU does with this code, in one run of at most 480 seconds: make gpu-check, or

    python -m benchmarks.gpu_check [--device cuda] [--video FILE] [--seconds 480] [--quick] [--out data/gpu_check.json]

The JSON is written after every step, so a run that is ended still says what it found; a step for which no time is left
says so beside what it has, and one that fails has its error. Needs torch, torchvision, numpy, pyarrow, pandas, numba,
av, tenacity and pydantic with its helpers; none of Prefect, OpenVINO or ffmpeg. scipy adds the decoding of speech, h5py
its published weights, Lightning and TensorBoard the training loop. It runs on a CPU too, --quick, as a trial of itself.
"""

import argparse
import faulthandler
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu_check import BEGIN
from benchmarks.gpu_check.judge import judge
from benchmarks.gpu_check.media import decoding, end_to_end
from benchmarks.gpu_check.networks import flag_race, networks, parity
from benchmarks.gpu_check.place import FAILURES, Found, Place, ceilings, environment, render
from benchmarks.gpu_check.speech import speech
from benchmarks.gpu_check.training import training, training_loop
from datasets.files import write_json
from features.encoders.torch_engine import choose_device

STEPS: dict[str, Callable[[Place, Found], None]] = {
    "environment": environment,
    "ceilings": ceilings,
    "parity": parity,
    "flag_race": flag_race,
    "networks": networks,
    "decoding": decoding,
    "end_to_end": end_to_end,
    "speech": speech,
    "training": training,
    "training_loop": training_loop,
}
"""In the order of what is most wanted should time run out."""
LAST_S = 5
"""Before the end of the time: then a step that heard nothing of its own is given up, and so is what would follow."""
SHARES = {"networks": 6.0, "decoding": 3.0}
"""Of the time that is left, beside 1 of each other step that is still to come."""


def _out_of_time(_signal: int, _frame: Any) -> None:
    raise TimeoutError("the step's share of the time is over")


def main() -> None:
    """Run the steps for which there is time, and write what each found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--video", type=Path, help="rendered when not given")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--out", type=Path, default=Path("data/gpu_check.json"))
    given = parser.parse_args()
    # Also out of a kernel that never ends.
    faulthandler.dump_traceback_later(max(1.0, BEGIN + given.seconds - time.monotonic()), exit=True)
    with tempfile.TemporaryDirectory() as folder:
        video = given.video
        if video is None:
            video = Path(folder) / "video.mp4"
            try:
                render(video, seconds=2 if given.quick else 20)
            except FAILURES as error:  # most steps need none
                print(f"no video: {error}", flush=True)
        run(Place(choose_device(given.device), given.quick, video), given, BEGIN)
    faulthandler.cancel_dump_traceback_later()


def run(place: Place, given: argparse.Namespace, begin: float) -> None:
    done: dict[str, dict[str, Any]] = {}

    def write() -> None:
        write_json(given.out, {"steps": done, "holds": judge(done)})

    def give_up() -> None:
        done[name]["error"] = "it did not end, and nothing could end it"
        write()
        os._exit(1)

    signal.signal(signal.SIGALRM, _out_of_time)
    at_last = threading.Timer(max(1.0, begin + given.seconds - LAST_S - time.monotonic()), give_up)
    at_last.daemon = True
    at_last.start()
    for number, name in enumerate(given.steps):
        start, found = time.monotonic(), Found()
        left_s = given.seconds - 10 - (start - begin)
        share = SHARES.get(name, 1) / sum(SHARES.get(other, 1) for other in given.steps[number:])
        # None may take all that is left, but as much as two shares; a trial is of all steps, however slow the machine.
        limit_s = left_s if place.is_quick else min(left_s, 2 * share * left_s)
        signal.setitimer(signal.ITIMER_REAL, max(0.1, limit_s), 5)  # again, where a compiler has swallowed it
        done[name] = {"found": found}
        try:
            STEPS[name](place, found)
        except FAILURES as error:
            done[name]["error"] = f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        done[name]["seconds"] = round(time.monotonic() - start, 1)
        write()
        print(name, json.dumps(done[name]), flush=True)
    at_last.cancel()
    print("holds", json.dumps(judge(done)))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # a thread of a step that was ended may never end
