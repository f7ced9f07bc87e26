"""A Prefect server for one command where none is configured: started when there is work, and gone with the command.

Prefect's own temporary server is waited for before anything else, makes the command load the server's code as well, and
outlives a command that is killed. This one takes a socket that the command has opened, so that clients may connect at
once; and it ends when its standard input does, which the kernel sees to however the command ends.
"""

import atexit
import logging
import os
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from datasets.wheels import CHECKOUT

_CHEAP = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
_END_S = 5
START_A_SERVER = "PREFECT_SERVER_ANALYTICS_ENABLED=false prefect server start"
"""What a person types, with --host 127.0.0.1, or for other machines with PREFECT_SERVER_API_AUTH_STRING set.

Without the switch the server, its pages and its clients tell Prefect's makers of their use.
"""


def server_address() -> str | None:
    """Address of the API of the Prefect server that is configured, or None; does not load Prefect."""
    if address := os.environ.get("PREFECT_API_URL"):
        return address
    if "prefect" in sys.modules:
        from prefect.settings import PREFECT_API_URL

        configured: str | None = PREFECT_API_URL.value()
        return configured
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    with suppress(OSError, tomllib.TOMLDecodeError):
        profiles = tomllib.loads((home / "profiles.toml").read_text())
        active = os.environ.get("PREFECT_PROFILE", profiles.get("active", ""))
        address = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return address or None


def start_server() -> None:
    """Begin to start a server for a command that always has work, before it loads Prefect; see `reserve_server`."""
    if start := reserve_server():
        start()


def is_beside() -> bool:
    """Whether torchrun started this process beside the one that has the flow."""
    return os.environ.get("RANK", "0") != "0"


def reserve_server() -> Callable[[], None] | None:
    """Name an address for Prefect, and return the function that starts a server there. Until then nothing runs.

    Call it before Prefect is loaded, which then takes its address from the environment. None where a server is
    configured, or where another process of torchrun has the flow.
    """
    if server_address() is not None or is_beside():
        return None
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | _CHEAP

    def start() -> None:
        descriptor = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.machinery.server", str(descriptor)],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is for the command, which still has to tell the server of it
        )
        listener.close()  # so that clients learn of the server's end
        atexit.register(_end, server)

    return start


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Close a server's standard input, and wait for it to end."""
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(_END_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _serve(descriptor: int) -> None:
    """Be the server, until standard input ends."""
    serving: list[Any] = []

    def end_with_command() -> None:
        sys.stdin.buffer.read()
        logging.disable()  # it would tell with tracebacks what it no longer writes, below the command's own last line
        if not serving or not serving[0].started:
            os._exit(0)
        serving[0].should_exit = True
        # It waits for the answers under way, and for services that may hang.
        threading.Timer(_END_S, os._exit, [0]).start()

    # Before anything is loaded: on a busy machine that takes longer than a command that is killed.
    threading.Thread(target=end_with_command, daemon=True).start()
    import uvicorn

    app = "prefect.server.api.server:create_app"
    serving.append(uvicorn.Server(uvicorn.Config(app, factory=True, log_level="error", lifespan="on")))
    serving[0].run([socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
