"""One run per root: of a folder by a lock that the kernel lets go, on an object store, which has none, by a lease.

A lease is renewed by its holder, and ends by itself. It is a small object with a number in its name, and the highest
number holds the root. A run takes the root by creating the next number, which the store grants to one alone (S3's
If-None-Match), once the last one was given back or was not renewed in time. Nobody deletes or overwrites a lease that
may still hold.

A run over one part of a root (`--part 3/16`) holds a lease of that part. Such runs work side by side; a run over the
whole root and one over a part keep each other off: each looks for the other's lease once it has its own, and again when
it renews one that had ended meanwhile (a machine that slept, a store that was away), by which the other saw nobody.

The object holds a word that this run alone knows. Read back, it says whose the lease is: when the store granted it and
its answer was lost, and where a store ignores the condition and grants the same number twice.
"""

import fcntl
import json
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec

from datasets.files import join_path, read_json, store_errors, write_json
from datasets.outside_text import one_line

logger = logging.getLogger("curation")
LEASE = timedelta(minutes=5)
"""A root whose run was killed is free after this; clocks of machines must agree better."""
RENEW_S = 60.0
_FOLDER, _OF_PARTS = "_leases", "_leases_of_parts"
_LEASE_NAME = re.compile(r"/(\d{8})\.json$")


class RootBusyError(RuntimeError):
    """Another run works on this root."""


@contextmanager
def hold_lease(root: str, part: str | None = None) -> Iterator[None]:
    """Hold the lease of a root on an object store, or of a part of it, and stop this process when it is lost.

    Raises:
        RootBusyError: another run holds it, or has taken it since this one could not renew it.
        OSError: the store cannot be reached.
    """
    lease, ended = _Lease(root, _folder_of(part)), threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, ended), name="lease", daemon=True)
    try:
        lease.take()
        if rival := lease.find_rival():
            raise RootBusyError(rival.explain("works on the root"))
        if not _grants_once(root):
            logger.warning(
                "the object store of %s grants a conditional write (If-None-Match) more than once: of two runs that "
                "start at once, both may work for up to %d s before one stops. Parts are whole, a batch done twice "
                "replaces itself, and digests are equal; do not compact or take down beside another run",
                root,
                RENEW_S,
            )
        keeper.start()
        try:
            yield
        finally:  # the keeper's signal may come as late as here
            ended.set()
            keeper.join()
    except KeyboardInterrupt as error:
        if lease.is_lost:
            told = (lease.rival or lease).explain("has taken the root, as this one did not renew its lease")
            raise RootBusyError(told) from error
        raise
    finally:
        lease.give_back()


def _grants_once(root: str) -> bool:
    """Whether the store refuses to create what is there: an object of its own is tried, and deleted."""
    fs, probe = fsspec.core.url_to_fs(join_path(root, "_probe", uuid4().hex))
    try:
        with suppress(FileExistsError):  # of a name that nobody else has: its first answer was lost on its way
            fs.pipe_file(probe, b"1", mode="create")
        try:
            fs.pipe_file(probe, b"2", mode="create")
        except FileExistsError:
            return True
        return False
    finally:
        with suppress(FileNotFoundError):
            fs.rm_file(probe)


def _keep(lease: "_Lease", ended: threading.Event) -> None:
    """Renew until the work has ended; another's lease ends the work as Ctrl-C does."""
    while not ended.wait(RENEW_S):
        try:
            lease.renew()
        except store_errors() as error:  # once it is gone for longer than the lease, another may come
            logger.warning("the lease of %s was not renewed: %s", lease.root, error)
        if lease.is_lost:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return


class _Lease:
    """This run's claim to a root."""

    def __init__(self, root: str, folder: str = _FOLDER) -> None:
        self.root = root.rstrip("/")
        self._folder = folder
        self.is_lost = False
        self.rival: _Lease | None = None
        """To whom it was lost, if not to another run over the same."""
        self._number = 0
        self._ends = datetime.max.replace(tzinfo=UTC)
        self._me = {"machine": socket.gethostname(), "process": os.getpid(), "nonce": uuid4().hex}

    def take(self) -> None:
        """Create the next number, unless the last one holds or somebody is quicker."""
        earlier = self._numbers()
        if earlier and self._still_holds(earlier[-1]):
            raise RootBusyError(self.explain("works on the root"))
        self._number = earlier[-1] + 1 if earlier else 1
        fs, path = fsspec.core.url_to_fs(self._path(self._number))
        try:
            fs.pipe_file(path, json.dumps(self._until(LEASE)).encode(), mode="create")
        except FileExistsError as error:
            self.is_lost = not self._is_mine()  # it is mine when the answer to the first try was lost on its way
            if self.is_lost:
                raise RootBusyError(self.explain("works on the root")) from error
        self.renew()  # who looked long ago may have created a number that is no longer the next
        if self.is_lost:
            raise RootBusyError(self.explain("works on the root"))
        for number in earlier:
            with suppress(FileNotFoundError):
                fs.rm_file(fs._strip_protocol(self._path(number)))

    def find_rival(self) -> "_Lease | None":
        """The lease beside which this one may not be, if a run holds it: of a part the root's, of the root a part's."""
        names = {_FOLDER}
        if self._folder == _FOLDER:
            fs, parts = fsspec.core.url_to_fs(join_path(self.root, _OF_PARTS))
            fs.invalidate_cache()  # others write here
            names = {f"{_OF_PARTS}/{Path(path).parent.name}" for path in fs.glob(f"{parts}/*/*.json")}
        return next((other for name in sorted(names) if (other := _Lease(self.root, name)).is_held()), None)

    def is_held(self) -> bool:
        """Whether a run, this or another, holds it now; one that says nothing is believed to."""
        numbers = self._numbers()
        try:
            return bool(numbers) and self._still_holds(numbers[-1])
        except RootBusyError:
            return True

    def _still_holds(self, number: int) -> bool:
        last = self._read(number)
        return last is not None and last["until"] > datetime.now(UTC)

    def _read(self, number: int) -> dict[str, Any] | None:
        """A lease, `until` as a time; None where it is gone. One that says nothing is nobody's to believe or delete."""
        try:
            last = read_json(self._path(number))
            return None if last is None else {**last, "until": datetime.fromisoformat(last["until"]).astimezone(UTC)}
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            path = self._path(number)
            raise RootBusyError(f"{path} is no lease: delete it if no other run works on {self.root}") from error

    def renew(self) -> None:
        """Hold for as long again, unless another run has written this number or a higher one, or came meanwhile."""
        self.is_lost = not self._is_mine()
        if not self.is_lost:
            began = datetime.now(UTC)
            write_json(self._path(self._number), self._until(LEASE))
            self.rival = self.find_rival() if began >= self._ends else None
            self.is_lost = self._numbers()[-1] != self._number or self.rival is not None
            self._ends = began + LEASE

    def _is_mine(self) -> bool:
        try:
            last = self._read(self._number)
        except RootBusyError:
            return False
        return last is None or last.get("nonce") == self._me["nonce"]

    def give_back(self) -> None:
        """Let the next run in at once; where that fails, the lease ends by itself. Another's is not touched."""
        with suppress(*store_errors()):
            if (self.is_lost and not self.rival) or not self._number or not self._is_mine():
                return
            write_json(self._path(self._number), self._until(timedelta(0)))

    def explain(self, does: str) -> str:
        """In one line, who the other one is and when the root will be free."""
        other = self._read((self._numbers() or [0])[-1])
        if other is None:
            return f"another run that has ended meanwhile worked on {self.root}: try again"
        is_far = other["until"] - datetime.now(UTC) > LEASE  # by a clock that was wrong
        until = f"{other['until']:{'%F %H:%M' if is_far else '%H:%M'}} UTC"
        who = one_line(f"process {other.get('process')} of {other.get('machine')}")
        return f"{who} {does} {self.root}: wait for it to end, or stop it; if it was killed, it is free at {until}"

    def _until(self, length: timedelta) -> dict[str, Any]:
        return {**self._me, "until": (datetime.now(UTC) + length).isoformat()}

    def _numbers(self) -> list[int]:
        fs, folder = fsspec.core.url_to_fs(f"{self.root}/{self._folder}")
        fs.invalidate_cache()  # others write here
        try:
            paths = fs.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return sorted(int(found[1]) for path in paths if (found := _LEASE_NAME.search(path)))

    def _path(self, number: int) -> str:
        return f"{self.root}/{self._folder}/{number:08d}.json"


def _folder_of(part: str | None) -> str:
    return f"{_OF_PARTS}/{part.replace('/', '-of-')}" if part else _FOLDER


@contextmanager
def hold_root(root: str, part: str | None = None) -> Iterator[None]:
    """Keep other runs off a root, or off a part of it: by a lock that the kernel lets go when this process dies, or on
    an object store by a lease that then ends by itself.

    Args:
        root: a local folder or fsspec URL.
        part: "3/16": runs over other parts may work beside this one, a run over the whole root may not.

    Raises:
        RootBusyError: another run holds it.
    """
    if "://" in root:
        with hold_lease(root, part):
            yield
        return
    with _lock_folder(root, root, fcntl.LOCK_SH if part else fcntl.LOCK_EX):
        if part:
            with _lock_folder(f"{root}/{_folder_of(part)}", f"{root}, part {part}", fcntl.LOCK_EX):
                yield
            return
        # Of a killed run: while the root is held only a report writes, or a status that keeps its counts.
        for leftover in Path(root).rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        yield


@contextmanager
def _lock_folder(folder: str, what: str, kind: int) -> Iterator[None]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RootBusyError(f"another run works on the root {what}: wait for it to end, or stop it") from error
        yield
    finally:
        os.close(descriptor)


def check_root_is_free(root: str, part: str | None = None) -> None:
    """Raise RootBusyError if another run holds the root, or this part of it."""
    with hold_root(root, part):
        pass
