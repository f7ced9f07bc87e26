"""Two processes train as one does: embeddings are gathered, gradients added up."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "train_in_processes.py"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_processes(num_processes: int, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(num_processes)]
    rendezvous = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    # Names of this machine need not resolve.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "USE_LIBUV": "0"}
    command = [*torchrun, *rendezvous, str(SCRIPT), str(folder), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def figures(folder: Path, name: str) -> list[float]:
    with (folder / "history.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.slow  # four starts of torchrun
@pytest.mark.parametrize(("micro_batch_size", "recompute"), [("2", "recompute"), ("2", "keep")])
def test_two_processes_equal_one(tmp_path, micro_batch_size, recompute):
    for num_processes in (1, 2):
        run_processes(num_processes, tmp_path / str(num_processes), micro_batch_size, recompute)
    assert figures(tmp_path / "2", "loss") == pytest.approx(figures(tmp_path / "1", "loss"), rel=1e-5)
    # Each embeds its share of the 23 val clips.
    assert figures(tmp_path / "2", "val_recall") == pytest.approx(figures(tmp_path / "1", "val_recall"), abs=0.03)
    one, two = (torch.load(tmp_path / n / "avlnet.pth", weights_only=True) for n in ("1", "2"))
    key = "DAVEnet_projection.weight"
    assert float((one[key] - two[key]).abs().max() / one[key].abs().max()) < 1e-4


@pytest.mark.slow  # torchrun
def test_two_processes_in_train_mode_on_a_cpu_say_that_batch_norm_is_apart(tmp_path):
    done = run_processes(2, tmp_path, "4", "recompute", "proper")
    assert "batch norm is not synchronised on a CPU" in done.stderr
    assert len(figures(tmp_path, "loss")) == 2
