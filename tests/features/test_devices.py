"""What the torch engine does with a device: exact, one network at a time, and not a clip's fault when it fails."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from datasets.outcomes import DeviceError
from features.encoders import engines
from features.encoders.torch_engine import Normalised, TorchEngine, choose_device

WINDOWS = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)


class Spy(nn.Module):
    """A mean of each channel that notes the flags and the batches it sees, and has room for so many windows."""

    def __init__(self, room: int = 1000, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 3, 1, 1))
        self.room, self.error, self.seen = room, error, []

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        cudnn = torch.backends.cudnn
        self.seen.append((len(frames), (cudnn.allow_tf32, cudnn.deterministic)))
        if len(frames) > self.room:
            raise self.error("CUDA out of memory")
        return (frames * self.weight).mean((2, 3))


def engine_of(spy: Spy) -> TorchEngine:
    return TorchEngine(Normalised(spy, 1.0, (0.0,) * 3, (1.0,) * 3).requires_grad_(False), torch.device("cpu"), "fp32")


def test_two_networks_take_turns_on_a_device_and_leave_it_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    spies = Spy(), Spy()
    first, second = map(engine_of, spies)
    assert first.lock is second.lock
    first.run(WINDOWS)
    second.run(WINDOWS)
    assert {flags for spy in spies for _size, flags in spy.seen} == {(False, True)}
    assert torch.backends.cudnn.allow_tf32 is False


def test_a_batch_for_which_there_is_no_room_is_halved_and_the_features_are_the_same() -> None:
    spy = Spy(room=1)
    np.testing.assert_array_equal(engine_of(spy).run(WINDOWS), engine_of(Spy()).run(WINDOWS))
    assert [size for size, _ in spy.seen] == [4, 2, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, torch.AcceleratorError])
def test_a_device_that_fails_is_an_error_of_the_machine(error: type[Exception]) -> None:
    with pytest.raises(DeviceError, match=r"cpu (has no room for one window|fails)"):
        engine_of(Spy(room=0, error=error)).run(WINDOWS)


def test_a_device_that_is_not_here_is_told() -> None:
    with pytest.raises(ValueError, match=r"device 'cuda:99' cannot be used here .*: use cpu"):
        choose_device("cuda:99")


def test_openvino_stays_on_the_cpu_of_a_machine_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_gpu", lambda: True)
    assert engines.choose_engine("openvino", "auto") == "openvino"
    assert engines.choose_engine("auto", "auto") == "torch"


@pytest.mark.parametrize(("flags", "has"), [("avx2 avx512f avx512bw avx512vl avx512dq", False), ("avx512_bf16", True)])
def test_bf16_that_the_processor_would_make_up_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, has: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu {flags} sse2\n")
    monkeypatch.setattr(engines, "_CPU_FLAGS", tmp_path / "cpuinfo")
    assert engines.has_bf16() is has
    assert TorchEngine(Normalised(Spy(), 1.0, (0.0,), (1.0,)), torch.device("cpu"), "bf16").precision == (
        "bf16" if has else "fp32"
    )
