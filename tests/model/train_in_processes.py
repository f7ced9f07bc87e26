"""Run by torchrun: the small training of test_train_processes.py, in each of its processes."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from small_clips import NARROW, make_clips  # noqa: E402

from model.train import TrainSettings, train  # noqa: E402

if __name__ == "__main__":
    folder, micro_batch_size, recompute = sys.argv[1:]
    settings = TrainSettings(
        epochs=2,
        batch_size=8,
        learning_rate=1e-3,
        embedding_dim=16,
        widths=NARROW,
        micro_batch_size=int(micro_batch_size),
        recompute=recompute == "recompute",
        device="cpu",
    )
    train(make_clips(24), None, settings, folder)
