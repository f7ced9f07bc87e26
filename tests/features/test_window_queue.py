"""Windows of many clips before one encoder: full batches, each clip's rows in order."""

from typing import Any

import numpy as np
import pytest

from features.encoders.encoder import Encoder
from features.encoders.shapes import NetworkShape
from features.feature_tables import Float16
from features.window_queue import WindowQueue


class Spy:
    """An engine whose features are a window's first pixel, and which notes how many windows it is given."""

    name, precision = "spy", "fp32"

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.seen: list[int] = []

    def run(self, windows: Any) -> Any:
        self.seen.append(len(windows))
        return windows.reshape(len(windows), -1)[:, :3].astype(np.float32)


def make_queue(batch_size: int, num_frames: int = 1) -> tuple[WindowQueue, Spy]:
    spy = Spy(batch_size)
    return WindowQueue(Encoder("spy", NetworkShape(dim=3, num_frames=num_frames), spy, "", True)), spy


def frames_of(rng: np.random.Generator, num_frames: int, width: int = 4) -> np.ndarray:
    return rng.integers(1, 256, (num_frames, 2, width, 3), np.uint8)


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_each_clip_gets_its_own_rows_in_order_whatever_the_batches(batch_size: int) -> None:
    rng = np.random.default_rng(0)
    queue, spy = make_queue(batch_size)
    pieces = [(clip, frames_of(rng, int(rng.integers(1, 9)), 4 + clip % 2)) for clip in (0, 1, 0, 2, 1, 1, 0)]
    rows: list[list[Float16]] = [[], [], []]
    for clip, frames in pieces:
        queue.put(rows[clip], frames)
    queue.finish()
    for clip in range(3):
        pixels = np.concatenate([frames[:, 0, 0] for of, frames in pieces if of == clip]).astype(np.float32)
        expected = (pixels / np.linalg.norm(pixels, axis=1, keepdims=True)).astype(np.float16)
        np.testing.assert_array_equal(np.concatenate(rows[clip]), expected)
    assert sum(size % batch_size > 0 for size in spy.seen) <= 2, "one short batch for each size of frames"


def test_of_a_batch_of_clips_less_than_a_twentieth_is_padding() -> None:
    rng = np.random.default_rng(1)
    seconds = rng.integers(5, 51, 64)
    padding = []
    for num_frames, fps in ((1, 1), (16, 24)):
        queue, spy = make_queue(32, num_frames)
        for length in seconds:
            for start in range(0, int(length) * fps, 10 * fps):
                queue.put([], frames_of(rng, min(10 * fps, int(length) * fps - start)))
        queue.finish()
        padded = sum(-(-size // 32) * 32 for size in spy.seen)
        padding.append(1 - sum(spy.seen) / padded)
    assert max(padding) < 0.05, padding
