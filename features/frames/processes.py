"""Clips decoded by processes beside this one, which the interpreter's lock does not hold up; for Linux.

A process is asked for one clip at a time and answers with its pieces, each in memory of its own that both then hold; it
decodes two pieces ahead of whoever takes them. It ends when the line to it does, so none outlives who asked. What the
machine lacks (memory, files, a GPU that decodes) is told as it would be here, and is no clip's fault.

python -m features.frames.processes FD   # what each of them runs
"""

import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

import numpy as np

from datasets.devices import refuse_killed
from datasets.outcomes import DeviceError, MediaError, ran_out
from features.frames.decoded import DecodedClip
from features.frames.decoding import decode_pieces

_CHECKOUT = Path(__file__).parents[2]
_PIECES_AHEAD = 2
_MOST_BYTES = 65_536
"""Of a question or an answer, whose arrays are not in it."""
_ARRAYS = {"waveform": np.float32, "frames_2d": np.uint8, "frames_3d": np.uint8}
"""In the order in which they lie in a piece's memory."""

ClipRange = dict[str, Any]
"""What `decode_pieces` is to be given."""
Answer = DecodedClip | MediaError | None
"""A piece of a clip; or its end: None, or what is wrong with it."""


def decode_here(clips: Iterable[ClipRange]) -> Generator[tuple[int, Answer]]:
    """What `Decoders.decode` gives, without any process, one clip after the other."""
    for number, clip in enumerate(clips):
        for answer in _pieces_and_end(clip):
            yield number, answer


def _pieces_and_end(clip: ClipRange) -> Iterator[Answer]:
    try:
        yield from decode_pieces(**clip)
    except MediaError as error:
        yield error
    else:
        yield None


class Decoders:
    """So many processes that decode; threads may share them. They begin when they are needed."""

    def __init__(self, num_processes: int) -> None:
        self._idle: LifoQueue[_Process | None] = LifoQueue()
        """None is one that has not begun; those that have are taken first."""
        for _ in range(num_processes):
            self._idle.put(None)

    def decode(self, clips: Iterable[ClipRange]) -> Generator[tuple[int, Answer]]:
        """Pieces and ends of the clips by their number as they come: in order for each, those of several mixed.

        Raises:
            DeviceError: as `decode_pieces`; or the machine has no process, memory or file to give.
            RuntimeError: a process died of a clip.
        """
        todo = enumerate(clips)
        following = next(todo, None)
        busy: dict[Any, tuple[int, _Process]] = {}
        try:
            while busy or following is not None:
                while following is not None and (process := self._take(may_wait=not busy)):
                    busy[process.line] = following[0], process
                    process.ask(following[1])
                    following = next(todo, None)
                for line in wait(list(busy)):
                    number, process = busy[line]
                    answer = process.answer()
                    if not isinstance(answer, DecodedClip):
                        del busy[line]
                        self._idle.put(process)
                    yield number, answer
        finally:
            for _, process in busy.values():  # in the middle of a clip
                process.end()
                self._idle.put(None)

    def close(self) -> None:
        """End the processes; to be called when nobody decodes. Else they end with this object."""
        while not self._idle.empty():
            if process := self._idle.get():
                process.end()

    def _take(self, may_wait: bool) -> "_Process | None":
        """A process with nothing to do; None where all are busy and one need not wait."""
        try:
            process = self._idle.get(block=may_wait)
        except Empty:
            return None
        if process is not None and process.is_alive():
            return process
        try:
            return _Process()
        except OSError as error:
            self._idle.put(None)  # else who asks next would wait for it for ever
            raise DeviceError(f"no process that decodes can be started here: {error}") from error


class _Process:
    """A process, and this end of the line to it."""

    def __init__(self) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "features.frames.processes", str(theirs.fileno())]
            given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "pass_fds": [theirs.fileno()]}
            try:
                self._process = subprocess.Popen(command, cwd=_CHECKOUT, **given)
            except OSError:
                self.line.close()
                raise
        self._asked: ClipRange = {}
        self._is_ready = False
        """Whether it has said that it can decode: until then it ends for want of something that no clip has."""
        self.end = weakref.finalize(self, _end, self.line, self._process)

    def is_alive(self) -> bool:
        """False once it has ended, whoever ended it."""
        return self._process.poll() is None

    def ask(self, clip: ClipRange) -> None:
        """For the pieces of a clip."""
        self._asked = {**clip, "path": str(Path(clip["path"]).absolute())}
        with suppress(ConnectionError):  # of its end the answer tells
            self.line.send(json.dumps(self._asked).encode())

    def answer(self) -> Answer:
        """The next piece of the clip, or its end."""
        message, fds = self._receive()
        if not self._is_ready:
            self._is_ready = True
            message, fds = self._receive()
        with suppress(ConnectionError):  # of its end the next answer tells
            self.line.send(b"taken")
        answer = json.loads(message)
        if "device_error" in answer:
            raise DeviceError(answer["device_error"])
        if "reason" in answer:
            return MediaError(**answer)
        if answer and not fds:  # the system leaves it out of the message
            raise DeviceError("this process may open no more files: raise the limit (ulimit -n)")
        return _read_piece(fds[0], answer) if answer else None

    def _receive(self) -> tuple[bytes, list[int]]:
        try:
            message, fds, _, _ = socket.recv_fds(self.line, _MOST_BYTES, 1)
        except ConnectionError:
            message = b""
        if message:
            return message, fds
        told, status = f"the process that decodes {self._asked['path']}", self._process.wait()
        refuse_killed(status, told, "lower features.decode_processes")
        if not self._is_ready:
            raise DeviceError(f"no process that decodes can be started here: it ended with {status}")
        raise RuntimeError(f"{told} ended with {status}")


def _end(line: socket.socket, process: subprocess.Popen[bytes]) -> None:
    line.close()
    process.kill()
    process.wait()


def _write_piece(piece: DecodedClip) -> tuple[dict[str, Any], int]:
    """What is said of a piece, and the file of its arrays, in memory and without a name."""
    arrays = {name: np.ascontiguousarray(getattr(piece, name)) for name in _ARRAYS}
    others = {name: value for name, value in vars(piece).items() if name not in arrays}
    memory = os.memfd_create("piece")
    with open(memory, "wb", closefd=False) as file:
        for array in arrays.values():
            file.write(array.tobytes() if array.size == 0 else array.data)
    return {**others, "shapes": [array.shape for array in arrays.values()]}, memory


def _read_piece(memory: int, fields: dict[str, Any]) -> DecodedClip:
    size = os.fstat(memory).st_size
    data = mmap.mmap(memory, size) if size else b""
    os.close(memory)
    start = 0
    for (name, dtype), shape in zip(_ARRAYS.items(), fields.pop("shapes"), strict=True):
        fields[name] = np.frombuffer(data, dtype, int(np.prod(shape)), start).reshape(shape)
        start += fields[name].nbytes
    return DecodedClip(**fields)


def _serve(line: socket.socket) -> None:
    line.send(b"ready")
    while question := line.recv(_MOST_BYTES):
        num_ahead = 0
        for message, memory in _answers(json.loads(question)):
            socket.send_fds(line, [json.dumps(message, default=float).encode()], memory)
            for file in memory:
                os.close(file)
            num_ahead += 1
            if num_ahead == _PIECES_AHEAD:
                line.recv(_MOST_BYTES)
                num_ahead -= 1
        for _ in range(num_ahead):
            line.recv(_MOST_BYTES)


def _answers(clip: ClipRange) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """What is said of each piece and of the end, and the file that goes with it."""
    try:
        for answer in _pieces_and_end(clip):
            if isinstance(answer, DecodedClip):
                told, memory = _write_piece(answer)
                yield told, [memory]
            else:
                yield ({} if answer is None else {"reason": answer.reason, "detail": answer.detail}), []
    except (DeviceError, MemoryError) as error:
        yield {"device_error": str(error) or f"there is no memory to decode {clip['path']}"}, []
    except OSError as error:
        if not ran_out(error):
            raise
        yield {"device_error": str(error)}, []


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts both, and who asks decides what that means
    with socket.socket(fileno=int(sys.argv[1])) as asking, suppress(ConnectionError):
        _serve(asking)
