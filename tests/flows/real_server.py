"""A real Prefect server in a process of its own, with a home of its own, on a free port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

TOP = Path(__file__).parents[2]
# A cold server has taken 80 s on a machine with nothing else to do.
START_S = 200


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(check, seconds, what):
    """The first true value of `check`, asked twice a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s")


@contextmanager
def in_background(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """A process with its children in a session of its own, all of which end with the block."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=TOP,
            env={**os.environ, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def run_server(folder: Path, **environment: str) -> Iterator[dict[str, str]]:
    """`prefect server start`; what the environment of its clients is."""
    port = free_port()
    own = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        **environment,
    }
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with in_background(command, own, folder / "server.log") as process:

        def answers():
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            try:
                return httpx.get(f"{own['PREFECT_API_URL']}/health", timeout=5).is_success
            except httpx.HTTPError:
                return False

        wait_for(answers, START_S, "the Prefect server answers")
        yield own
