"""Kill and stop the pipeline at random moments and start it again; at the end nothing tells that it ever happened.

python -m benchmarks.bench_kills --kills 50 --seed 1
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.limits import tell
from flows.commands.demo import render_channel
from tests.kills import kill_repeatedly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        render_channel(Path(name) / "channel", None, num_videos=4)
        outcome = kill_repeatedly(Path(name), Path(name) / "channel", arguments.kills, arguments.seed)
    print(f"seed {arguments.seed}: {outcome}")
    traceless = outcome.kills.total() if outcome.is_clean else 0
    tell("kills that left no trace", traceless, "kills", at_least=arguments.kills)
    raise SystemExit(0 if outcome.is_clean else 1)


if __name__ == "__main__":
    main()
