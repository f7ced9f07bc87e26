"""What the torch engine does with a device: exact, one network at a time, and not a clip's fault when it fails."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from datasets.outcomes import DeviceError
from features.encoders import engines, load_encoder, torch_engine
from features.encoders.cuda_graphs import MOST_SHAPES
from features.encoders.engines import OpenvinoEngine
from features.encoders.torch_engine import (
    Normalised,
    SeveralGpus,
    TorchEngine,
    cast_weights,
    choose_device,
    open_engine,
    precision_on,
)
from features.quality.watching import Network
from tests import fake_cuda

WINDOWS = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)


class Spy(nn.Module):
    """A mean of each channel that notes the flags and the batches it sees, and has room for so many windows."""

    def __init__(self, room: int = 1000, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 3, 1, 1))
        self.room, self.error, self.seen = room, error, []

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
        self.seen.append((len(frames), (cudnn.allow_tf32, products.allow_tf32, cudnn.deterministic)))
        if len(frames) > self.room:
            raise self.error("CUDA out of memory")
        return (frames * self.weight).mean((2, 3))


@dataclass
class Opened:
    """An engine as far as a machine without GPUs can open it."""

    network: nn.Module
    device: str
    precision: str
    batch_size: int = 32


def engine_of(spy: Spy) -> TorchEngine:
    return TorchEngine(Normalised(spy, 1.0, (0.0,) * 3, (1.0,) * 3).requires_grad_(False), torch.device("cpu"), "fp32")


def test_two_networks_take_turns_on_a_device_and_leave_it_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    spies = Spy(), Spy()
    first, second = map(engine_of, spies)
    assert first.lock is second.lock
    first.run(WINDOWS)
    second.run(WINDOWS)
    assert {flags for spy in spies for _size, flags in spy.seen} == {(False, False, True)}
    assert torch.backends.cudnn.allow_tf32 is False


def test_a_batch_for_which_there_is_no_room_is_halved_and_the_features_are_the_same() -> None:
    spy = Spy(room=1)
    np.testing.assert_array_equal(engine_of(spy).run(WINDOWS), engine_of(Spy()).run(WINDOWS))
    assert [size for size, _ in spy.seen] == [4, 2, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, torch.AcceleratorError])
def test_a_device_that_fails_is_an_error_of_the_machine(error: type[Exception]) -> None:
    with pytest.raises(DeviceError, match=r"cpu (has no room .*, not even for one window|fails)"):
        engine_of(Spy(room=0, error=error)).run(WINDOWS)


def test_a_shape_for_which_there_is_no_room_leaves_the_others_their_batches() -> None:
    spy = Spy()
    engine = engine_of(spy)
    spy.room = 1
    engine.run(WINDOWS)
    spy.room, spy.seen = 1000, []
    engine.run(WINDOWS[:, :3])
    assert [size for size, _ in spy.seen] == [4, 4]


def test_a_real_network_without_room_for_a_batch_gives_the_features_of_one_with_room() -> None:
    def leave_no_room(_network: nn.Module, given: tuple[torch.Tensor]) -> None:
        if len(given[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    encoder = load_encoder("torchvision/resnet18", "untrained", "torch", "cpu")
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 80, 3), np.uint8)
    expected = encoder(frames)
    network = encoder._engine.network  # type: ignore[attr-defined]
    network.register_forward_pre_hook(leave_no_room)
    np.testing.assert_allclose(encoder(frames), expected, rtol=1e-4, atol=1e-4)


def test_a_device_without_room_for_the_weights_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def have_no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Normalised, "to", have_no_room)
    with pytest.raises(DeviceError, match=r"cpu has no room \(CUDA out of memory\)"):
        engine_of(Spy())


def test_those_who_wait_for_a_device_are_done_together_and_each_gets_its_own() -> None:
    spy = Spy()
    engine = engine_of(spy)
    alone = [engine.run(WINDOWS[start : start + 2]) for start in (0, 2, 4)]
    spy.seen = []
    with ThreadPoolExecutor(3) as callers:
        with engine.lock:
            found = [callers.submit(engine.run, WINDOWS[start : start + 2]) for start in (0, 2, 4)]
            while len(engine._waiting) < 3:
                time.sleep(0.001)
        for done, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(done.result(), expected)
    assert [size for size, _ in spy.seen] == [4, 4]
    assert engine._waiting == []


def gpus_of(*spies: Spy) -> SeveralGpus:
    """As many GPUs, which are this CPU by numbers of their own and compute by these."""
    several = [engine_of(spy) for spy in spies]
    for number, engine in enumerate(several):
        engine.device, engine.lock = torch.device("cpu", number), Lock()
    return SeveralGpus(several)


def test_callers_of_several_gpus_compute_on_all_of_them_at_once() -> None:
    spies, meet = [Spy(), Spy()], Barrier(2, timeout=30)
    for spy in spies:
        spy.register_forward_pre_hook(lambda *_: (meet.wait(), None)[1])
    gpus, windows = gpus_of(*spies), (WINDOWS[:4], WINDOWS[2:])
    with ThreadPoolExecutor(2) as callers:
        found = list(callers.map(gpus.run, windows))
    for rows, own in zip(found, windows, strict=True):
        np.testing.assert_array_equal(rows, engine_of(Spy()).run(own))


def test_a_gpu_that_failed_is_asked_again_in_its_turn() -> None:
    gpus = gpus_of(Spy(room=0), Spy())
    for _ in range(2):
        with pytest.raises(DeviceError, match="cpu:0 has no room"):
            gpus.run(WINDOWS)


def test_auto_opens_every_gpu_and_a_number_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_engine, "torch_has_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch_engine, "choose_device", lambda device: device)
    monkeypatch.setattr(torch_engine, "TorchEngine", Opened)
    network = Normalised(Spy(), 1.0, (0.0,) * 3, (1.0,) * 3)
    several = open_engine(network, "auto", "fp32")
    assert isinstance(several, SeveralGpus)
    assert [engine.device for engine in several._engines] == ["cuda:0", "cuda:1", "cuda:2"]
    assert len({id(engine.network) for engine in several._engines}) == 3, "each has weights of its own"
    one = open_engine(network, "cuda:1", "fp32")
    assert isinstance(one, Opened) and one.device == "cuda:1"


def test_each_gpu_is_asked_for_its_own_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda.install(monkeypatch)
    current = [0]

    @contextmanager
    def use(device: torch.device) -> Iterator[None]:
        current.append(device.index)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", use)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: current[-1] == 1)
    found = [precision_on(torch.device("cuda", number), "bf16") for number in range(3)]
    assert found == ["fp32", "bf16", "fp32"]


def test_gpus_that_compute_in_two_precisions_are_refused() -> None:
    unlike = [Opened(nn.Identity(), "cuda:0", "fp32"), Opened(nn.Identity(), "cuda:1", "bf16")]
    with pytest.raises(ValueError, match=r"the GPUs here differ \(cuda:0 fp32, cuda:1 bf16\): set features.precision"):
        SeveralGpus(unlike)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_windows_that_go_over_while_others_are_computed_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = np.random.default_rng(0).integers(0, 256, (150, 4, 4, 3), np.uint8)
    expected = engine_of(Spy()).run(windows)
    fake_cuda.install(monkeypatch)
    spy = Spy()
    network = Normalised(spy, 1.0, (0.0,) * 3, (1.0,) * 3).requires_grad_(False)
    engine = TorchEngine(network, torch.device("cuda:0"), "fp32")
    monkeypatch.setattr(torch.cuda, "Stream", None)  # one for good: each keeps memory of its own
    for _ in range(2):
        np.testing.assert_array_equal(engine.run(windows), expected)
    assert [size for size, _ in spy.seen] == [32] * 10


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_by_graphs_each_batch_has_its_own_rows_and_shapes_past_the_most_run_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = [*((70, 4, width, 3) for width in range(4, 5 + MOST_SHAPES)), (5, 4, 4, 3)]
    batches = [np.random.default_rng(n).integers(0, 256, shape, np.uint8) for n, shape in enumerate(shapes)]
    expected = [engine_of(Spy()).run(windows) for windows in batches]
    fake_cuda.install(monkeypatch)
    network = Normalised(Spy(), 1.0, (0.0,) * 3, (1.0,) * 3).requires_grad_(False)
    engine = TorchEngine(network, torch.device("cuda:0"), "fp32", use_graphs=True)
    for windows, rows in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(engine.run(windows), rows)


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_two_gpus_record_their_graphs_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda.install(monkeypatch)
    meet, met = Barrier(2), []

    def look_for_the_other(*_: object) -> None:
        with suppress(BrokenBarrierError):  # for good, once one was alone
            met.append(meet.wait(timeout=0.1))

    spies = Spy(), Spy()
    engines = [TorchEngine(spy, torch.device("cuda", number), "fp32", True) for number, spy in enumerate(spies)]
    for spy in spies:
        spy.register_forward_pre_hook(look_for_the_other)
    windows = torch.zeros(2, 3, 4, 4)
    with ThreadPoolExecutor(2) as callers:
        list(callers.map(lambda engine: engine._forward(windows), engines))
    assert not met


def test_weights_cast_once_give_the_features_of_autocast_to_the_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten())
    network = nn.Sequential(network, nn.Linear(4 * 12 * 12, 5)).eval().requires_grad_(False)
    frames = torch.randn(4, 3, 16, 16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = network(frames)
        cast_weights(network)
        assert {weight.dtype for name, weight in network.named_parameters() if ".1." not in name} == {torch.bfloat16}
        assert torch.equal(network(frames), expected)


def test_a_device_that_is_not_here_is_told() -> None:
    with pytest.raises(ValueError, match=r"device 'cuda:99' cannot be used here .*: use cpu"):
        choose_device("cuda:99")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The NVIDIA driver on your system is too old (found version 12040)."),
        torch.cuda.DeferredCudaCallError("CUDA call failed lazily: CUDA error: uncorrectable ECC error"),
    ],
)
def test_a_gpu_that_only_the_driver_knows_of_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(engines, "_GPU_NODES", (str(tmp_path),))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as it is once Lightning is loaded
    monkeypatch.setattr(torch.cuda, "init", refuse)
    assert engines.choose_engine("auto", "auto") == "openvino"
    assert choose_device("auto").type == "cpu"


def test_openvino_stays_on_the_cpu_of_a_machine_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_gpu", lambda: True)
    assert engines.choose_engine("openvino", "auto") == "openvino"
    assert engines.choose_engine("auto", "auto") == "torch"


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 64), ("1600000 100000", 16), ("50000 100000", 1)])
def test_a_containers_share_of_the_processor_counts_as_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, cores: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(engines, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(64)))
    assert engines.num_cores() == cores


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


def test_memory_that_openvino_lacks_is_the_machines_fault() -> None:
    class Request:
        def infer(self, *_: object, **__: object) -> None:
            raise RuntimeError("Exception from infer_request.cpp:224:\nFailed to allocate 53760000 bytes of memory")

    engine, network = object.__new__(OpenvinoEngine), object.__new__(Network)
    engine.compiled = network._compiled = SimpleNamespace(create_infer_request=Request)
    for run in (engine.run, network):
        with pytest.raises(DeviceError, match=r"cpu has no room \(Failed to allocate 53760000 bytes of memory\)"):
            run(WINDOWS)
