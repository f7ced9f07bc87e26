"""Frames of many clips on their way through one encoder."""

from collections import defaultdict

import numpy as np

from features.encoders.encoder import Encoder
from features.encoders.engines import UInt8
from features.feature_tables import Float16, normalise_rows


class WindowQueue:
    """Holds windows until they fill the encoder's batches, whichever clips they are of; those of each size apart."""

    def __init__(self, encoder: Encoder, step: int | None = None) -> None:
        self.encoder, self.step = encoder, step
        self._waiting: dict[tuple[int, ...], list[tuple[list[Float16], UInt8]]] = defaultdict(list)

    def put(self, rows: list[Float16], frames: UInt8) -> None:
        """Frames [T, H, W, 3] of a clip; by the time of `finish`, `rows` has their normalised features added in order.

        Of one clip always the same list, and in 3D all frames but the last ones fill whole windows.
        """
        windows = self.encoder.windows(frames, self.step)
        if not len(windows):
            return
        waiting = self._waiting[windows.shape[1:]]
        waiting.append((rows, windows))
        num_waiting = sum(len(array) for _, array in waiting)
        self._run(waiting, num_waiting - num_waiting % self.encoder.batch_size)

    def finish(self) -> None:
        """Encode what still waits."""
        for waiting in self._waiting.values():
            self._run(waiting, sum(len(array) for _, array in waiting))

    def _run(self, waiting: list[tuple[list[Float16], UInt8]], num_windows: int) -> None:
        """Encode so many of the windows that wait, the first ones."""
        if not num_windows:
            return
        taken, num_left = [], num_windows
        while num_left:
            rows, array = waiting.pop(0)
            taken.append((rows, array[:num_left]))
            if len(array) > num_left:
                waiting.insert(0, (rows, array[num_left:]))
            num_left -= len(taken[-1][1])
        encoded = self.encoder.run(np.concatenate([array for _, array in taken]))
        ends = np.cumsum([len(array) for _, array in taken])
        for (rows, _), part in zip(taken, np.split(encoded, ends[:-1]), strict=True):
            rows.append(normalise_rows(part))
