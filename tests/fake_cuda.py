"""A GPU that is not there: the CPU under its name, with copies as late as CUDA may do them.

Whoever does not wait reads what is not yet there, and whoever fills a buffer too early spoils it.
"""

from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

_NOT_YET = 77


class _Event:
    def __init__(self, copies: list[Any]) -> None:
        self.copies = copies

    def synchronize(self) -> None:
        while self.copies:
            target, source = self.copies.pop(0)
            with torch.inference_mode():
                torch.Tensor.copy_(target, source)


class _Graph:
    """The call of a network that was recorded, done again between the same memory."""

    def take(self, *call: Any) -> None:
        self.network, (self.windows,), self.rows = call  # the outermost of networks within networks ends last

    def replay(self) -> None:
        self.rows.copy_(self.network(self.windows))


class _Stream:
    def __init__(self, *_: Any) -> None:
        self.copies: list[Any] = []

    def wait_stream(self, other: "_Stream") -> None:
        other.record_event().synchronize()

    def record_event(self) -> _Event:
        copies, self.copies = self.copies, []
        return _Event(copies)

    def wait_event(self, event: _Event) -> None:
        event.synchronize()


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have torch take "cuda" for a device until the test ends."""
    computing = _Stream()
    streams = [computing]
    move, copy, empty = torch.Tensor.to, torch.Tensor.copy_, torch.empty

    @contextmanager
    def use(stream: _Stream) -> Any:
        streams.append(stream)
        yield
        streams.pop()

    def late(target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        streams[-1].copies.append((target, source))
        return target.fill_(_NOT_YET)

    def fake_to(tensor: torch.Tensor, *args: Any, **given: Any) -> torch.Tensor:
        if not args or not str(args[0]).startswith("cuda"):
            return move(tensor, *args, **given)
        if not given.get("non_blocking") or streams[-1] is computing:  # kernels of the same stream come after
            return tensor.clone()
        return late(empty(tensor.shape, dtype=tensor.dtype), tensor)

    def fake_copy(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        return late(target, source) if non_blocking else copy(target, source)

    monkeypatch.setattr(torch.Tensor, "to", fake_to)
    monkeypatch.setattr(torch.Tensor, "copy_", fake_copy)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)
    monkeypatch.setattr(torch, "empty", lambda *args, pin_memory=False, **given: empty(*args, **given))

    @contextmanager
    def record(graph: _Graph, *, stream: _Stream, **_: Any) -> Any:  # without one it is a stream of the first device
        hook = register_module_forward_hook(graph.take)
        with use(stream):
            yield
        hook.remove()

    monkeypatch.setattr(torch.cuda, "CUDAGraph", _Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: computing)
    monkeypatch.setattr(torch.cuda, "stream", use)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
