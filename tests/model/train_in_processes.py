"""The small training of the tests about processes: run by torchrun in each of its processes, or to be killed."""

import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from small_clips import NARROW, make_clips  # noqa: E402

import model.memory  # noqa: E402
from model.settings import TrainSettings  # noqa: E402
from model.train import train  # noqa: E402


def main(folder: str, micro_batch_size: str, mode: str, recipe: str = "upstream", kill_after: str = "0") -> None:
    """Train; write each step's number to steps.txt; kill this process after step `kill_after`."""
    model.memory.SHARE = {"keep": 1.0, "recompute": 0.0}[mode]
    settings = TrainSettings(
        recipe=recipe,
        epochs=2,
        batch_size=8,
        learning_rate=1e-3,
        embedding_dim=16,
        widths=NARROW,
        micro_batch_size=int(micro_batch_size),
        checkpoint_every_s=0,
        device="cpu",
    )

    def on_step(num_done: int, num_steps: int, loss: float) -> None:
        with (Path(folder) / f"steps-{os.getpid()}.txt").open("a") as file:
            file.write(f"{num_done}\n")
        if num_done == int(kill_after):
            os.kill(os.getpid(), signal.SIGKILL)

    Path(folder).mkdir(parents=True, exist_ok=True)
    clips = make_clips(24)
    train(clips, clips.subset(range(23)), settings, folder, on_step)


if __name__ == "__main__":
    main(*sys.argv[1:])
