"""CUDA graphs: a network's kernels recorded for batches of one shape, and launched as one."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

MOST_SHAPES = 4
"""Each keeps what lies between its layers on the device. Videos are of few shapes; pictures may each have their own."""
RECORDING = threading.Lock()
"""In a process torch records one graph at a time, on whichever device: its beginning empties the caches of all."""


class _Recorded(NamedTuple):
    graph: Any
    windows: torch.Tensor
    """What the graph reads."""
    rows: torch.Tensor
    """Where it writes."""


class Graphs:
    """A network that is recorded for the first shapes of batches that it is given; others run as ever.

    Args:
        network: windows [U, ...] on a GPU to rows [U, D], always by the same kernels for windows of one shape.
    """

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._network = network
        self._recorded: dict[torch.Size, _Recorded] = {}

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Rows of a batch, which are the caller's own."""
        if windows.shape not in self._recorded:
            if len(self._recorded) == MOST_SHAPES:
                return self._network(windows)
            with RECORDING:
                self._recorded[windows.shape] = self._record(windows)
        recorded = self._recorded[windows.shape]
        recorded.windows.copy_(windows)
        recorded.graph.replay()
        return recorded.rows.clone()

    def _record(self, windows: torch.Tensor) -> _Recorded:
        with torch.cuda.device(windows.device):
            own = windows.clone()
            # What only a first call does (workspaces, the choice of kernels) cannot be recorded.
            aside, computing = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(computing)
            with torch.cuda.stream(aside):
                self._network(own)
            computing.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # On a stream of this device: torch's own is of the first device that recorded, and on another one a graph
            # without kernels would leave each batch the rows of the first. Other threads may copy meanwhile.
            with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                rows = self._network(own)
            return _Recorded(graph, own, rows)
