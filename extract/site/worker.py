"""Asking a site within a time limit that holds whatever the site says: in processes that the kernel ends at it.

yt-dlp computes over what strangers wrote, and no clock of ours is looked at within a regular expression or a loop over
a million formats. So it works in a process of its own, one for each thread that asks, kept from one video to the next;
an alarm of the system ends the process, and the next video starts another. All of them are one guest: cookies are
handed round. A worker ends with the process that started it.

python -m extract.site.worker DESCRIPTOR
"""

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from http.cookiejar import Cookie
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from datasets.wheels import CHECKOUT
from extract.site.answers import Answer, Step, answer

GRACE_S = 1.0
"""Beyond the time limit, for the limits within the session, which end a transfer in better order."""


class Worker:
    """A process that answers steps; ready once it is made."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        path = [str(Path(folder).absolute()) for folder in (str(CHECKOUT), *sys.path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "extract.site.worker", str(theirs.fileno())],
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._told,
            stderr=self._told,
            start_new_session=True,  # Ctrl-C is for the command; and what the worker starts ends with it
        )
        theirs.close()
        with suppress(EOFError, ConnectionError):  # the first step tells why it ended
            self._connection.recv()

    def ask(self, step: Step) -> Answer:
        """Have a step done.

        Raises:
            RuntimeError: the process ended otherwise than at the time limit: a surprise, whose traceback is a note.
        """
        deadline = step.turn.deadline + 2 * GRACE_S  # a process that was stopped hears no alarm
        try:
            # yt-dlp runs deno, which would keep a cache in the user's home, and take packages from there.
            environment = {**os.environ, "DENO_DIR": os.devnull}
            self._connection.send(((environment, Path.cwd(), list(sys.path)), step))
            if self._connection.poll(max(deadline - time.monotonic(), 0)):
                found: Answer = self._connection.recv()
                return found
        except (EOFError, ConnectionError):
            pass
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)  # of one that ended by itself this is the code
        code = self._kill()
        if time.monotonic() > step.turn.deadline:
            return Answer(reason="network", detail=f"time limit of {step.turn.download.timeout_s:g} s")
        if code < 0:
            told = f"the process that asks the site was ended from outside, by {signal.Signals(-code).name}"
            return Answer(reason="network", detail=told)
        self._told.seek(0)
        told = self._told.read().decode(errors="replace").strip() or f"it ended with {code}"
        error = RuntimeError(f"the process that asks the site: {told.splitlines()[-1]}")
        error.add_note(told)
        raise error

    @property
    def is_alive(self) -> bool:
        """False once the process ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process and what it started."""
        self._connection.close()
        self._kill()
        self._told.close()

    def _kill(self) -> int:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()


_lock = threading.Lock()
_idle: list[Worker] = []
_cookies: dict[Path | None, dict[tuple[str, str, str], Cookie]] = {}
"""By cookies file: what the site gave its one guest."""


def ask(step: Step) -> Answer:
    """Have a step done by an idle worker, or by a new one; it ends soon after the turn's deadline at the latest.

    Raises:
        RuntimeError: a surprise.
    """
    worker = _take()
    try:
        with _lock:
            jar = _cookies.setdefault(step.turn.download.cookies_file, {})
            given = replace(step, cookies=tuple(jar.values()))
        found = worker.ask(given)
        with _lock:
            jar |= {(cookie.domain, cookie.path, cookie.name): cookie for cookie in found.cookies}
        return found
    finally:
        _give_back(worker)


def make_ready() -> None:
    """See to it that there is an idle worker: starting one should count in nobody's time limit."""
    _give_back(_take())


def _take() -> Worker:
    with _lock:
        worker = _idle.pop() if _idle else None
    if worker is not None and not worker.is_alive:
        worker.end()
        worker = None
    return worker or Worker()


def _give_back(worker: Worker) -> None:
    if not worker.is_alive:
        worker.end()
        return
    with _lock:
        _idle.append(worker)


def end_workers() -> None:
    """End the idle workers; those that work end with this process."""
    while _idle:
        _idle.pop().end()


atexit.register(end_workers)


def _serve(connection: Connection) -> None:
    """Be a worker, until the other side closes the connection, whatever is being done then."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a whole group may be told: who asks decides when to end
    steps: SimpleQueue[tuple[tuple[dict[str, str], Path, list[str]], Step]] = SimpleQueue()

    def receive() -> None:
        while True:
            try:
                steps.put(connection.recv())
            except (EOFError, ConnectionError):  # reset is what a line is that ends with an answer unread
                os.killpg(0, signal.SIGKILL)

    threading.Thread(target=receive, daemon=True).start()
    connection.send("ready")
    while True:
        # What a process is started with may have changed since.
        (environment, folder, sys.path[:]), step = steps.get()
        os.environ |= environment
        os.chdir(folder)
        left_s = step.turn.deadline - time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, max(left_s, 0) + GRACE_S)
        found = answer(step)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(found)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
