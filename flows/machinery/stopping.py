"""Ctrl-C and SIGTERM: a command ends within ten seconds, whatever its threads and children are doing.

It is asked to end as Python does, by KeyboardInterrupt. A batch in a thread of its own cannot be asked, nor can Python
where a library computes: after some seconds the process ends without them, which loses the batch and nothing else, as
what is written is whole or absent. A thread that was there before the signal sees to it: one that is started by a
signal's handler may wait for what the interrupted code holds.
"""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from uuid import UUID

_GRACE_S = 4.0
_MARK_S = 2.0
flow_runs: list[str] = []
"""Prefect's runs of this process, oldest first: they are marked, as nobody else could."""
_left: list[Callable[[], str]] = [lambda: ""]
"""Says what is left to do, for the line that an interrupted command ends with."""
_is_told = threading.Event()
_tell: list[int] = []
"""Where the watchdog hears of signals."""


def tell_left(description: str, count_done: Callable[[], int], total: int) -> None:
    """Remember what to ask for what is left to do: after an interruption, as batches that run then may still end."""

    def say() -> str:
        left = total - count_done()
        return f", {left:,} of {total:,} left to {description}" if left else ""

    _left[0] = say


def tell_interruption() -> None:
    """Say once what an interrupted command ends with, be it that it ends by itself or is ended."""
    if not _is_told.is_set():
        _is_told.set()
        told = f"error: interrupted{_left[0]()}; the same command goes on where this one stopped"
        print(told, file=sys.stderr, flush=True)


def end_soon_when_told() -> None:
    """From now on SIGINT and SIGTERM raise KeyboardInterrupt, and end the process when that has not ended it soon."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    _tell.append(tell)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget)
    threading.Thread(target=_watch, args=(told,), name="watchdog", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def take_back() -> None:
    """Have SIGTERM again, which Prefect takes over within a flow, to end it when the batches that run have ended."""
    if _tell and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _forget() -> None:
    """What a child is told is not for its parent."""
    signal.set_wakeup_fd(-1)
    _tell.clear()


def _interrupt(number: int, frame: FrameType | None) -> None:
    for tell in _tell:  # again, in case that an event loop has taken the descriptor over
        with suppress(BlockingIOError):
            os.write(tell, bytes([number]))
    signal.default_int_handler(number, frame)


def _watch(told: int) -> None:
    """End the process some seconds after a signal that is still ours: Prefect takes one over while it serves."""
    while not any(signal.getsignal(number) is _interrupt for number in os.read(told, 64)):
        pass
    time.sleep(_GRACE_S)
    tell_interruption()
    if flow_runs:
        marking = threading.Thread(target=_mark_runs, daemon=True)
        marking.start()
        marking.join(_MARK_S)
    with suppress(OSError):  # Linux tells; elsewhere children see their pipes end
        for listed in Path("/proc/self/task").glob("*/children"):
            for child in listed.read_text().split():
                for kill in (os.killpg, os.kill):  # most lead a group of what they started
                    with suppress(ProcessLookupError):
                        kill(int(child), signal.SIGKILL)
    for held in gc.get_objects():  # of batches that go on, such as a video's sound
        if type(held) is TemporaryDirectory:
            with suppress(OSError):
                held.cleanup()
    os._exit(128 + signal.SIGINT)


def _mark_runs() -> None:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    # The command's own server may have ended by now.
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        for run_id in reversed(flow_runs):
            client.set_flow_run_state(UUID(run_id), Crashed(message="interrupted"), force=True)
