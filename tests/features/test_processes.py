"""Clips decoded by processes: the same pieces, in order, and none that outlives who asked for it."""

import errno
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.outcomes import DeviceError, MediaError
from features.frames import processes
from features.frames.decoded import DecodedClip
from features.frames.processes import Answer, Decoders, decode_here


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    pool = Decoders(2)
    yield pool
    pool.close()


def answers_of(found: Iterator[tuple[int, Answer]], num_clips: int) -> list[list[Answer]]:
    answers: list[list[Answer]] = [[] for _ in range(num_clips)]
    for number, answer in found:
        answers[number].append(answer)
    return answers


def test_pieces_of_processes_are_those_of_this_one(decoders: Decoders, golden_clip: Path, tmp_path: Path) -> None:
    clips: list[dict[str, Any]] = [
        {"path": golden_clip, "start_ms": 100, "end_ms": 3300, "frames_per_piece": 16},
        {"path": tmp_path / "none.mp4"},
        {"path": golden_clip},
        {"path": golden_clip, "start_ms": 9000, "end_ms": 9500},
        {"path": golden_clip, "start_ms": 1000, "end_ms": 1400},
    ]
    expected = answers_of(decode_here(clips), len(clips))
    found = answers_of(decoders.decode(clips), len(clips))
    assert [[type(answer) for answer in answers] for answers in found] == [
        [*map(type, answers)] for answers in expected
    ]
    assert len(found[0]) > 3 and isinstance(found[1][0], MediaError) and isinstance(found[3][-1], MediaError)
    for answer, other in zip(chain(*found), chain(*expected), strict=True):
        if isinstance(answer, MediaError):
            assert (answer.reason, answer.detail) == (other.reason, other.detail)
        elif isinstance(answer, DecodedClip):
            for name, value in vars(other).items():
                assert np.array_equal(getattr(answer, name), value), name


def children() -> set[int]:
    return {int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


def test_a_process_that_dies_of_a_clip_is_told_and_the_next_clip_has_a_new_one(golden_clip: Path) -> None:
    before, pool = children(), Decoders(1)
    clip = {"path": golden_clip, "start_ms": 0, "end_ms": 3300, "frames_per_piece": 16}
    answers = pool.decode([clip])
    next(answers)
    (child,) = children() - before
    os.kill(child, signal.SIGSEGV)
    with pytest.raises(RuntimeError, match=r"the process that decodes .*g1_426x240_2997.mp4 ended with -11"):
        list(answers)
    answers = pool.decode([clip])
    assert isinstance(next(answers)[1], DecodedClip)
    answers.close()
    assert children() <= before, "one left in the middle of a clip is ended"
    list(pool.decode([clip]))
    assert len(children() - before) == 1
    del pool, answers
    assert children() <= before, "who decodes no more leaves none"


def test_a_fault_of_the_machine_in_a_process_is_one_here(
    decoders: Decoders, golden_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceError, match=r"features\.decoder = 'nvdec': the GPU does not decode"):
        list(decoders.decode([{"path": golden_clip, "decoder": "nvdec"}]))


def test_a_process_that_the_system_killed_is_the_machines_fault_and_no_clips(golden_clip: Path) -> None:
    before, pool = children(), Decoders(1)
    answers = pool.decode([{"path": golden_clip, "start_ms": 0, "end_ms": 3300, "frames_per_piece": 16}])
    next(answers)
    os.kill(*(children() - before), signal.SIGKILL)
    with pytest.raises(DeviceError, match=r"ended with -9, as where memory runs out: lower features\.decode_processes"):
        list(answers)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "Too many open files", "clip.mp4")])
def test_what_the_machine_lacks_in_a_process_is_told_and_no_more_is_decoded(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(**_: Any) -> None:
        raise error

    monkeypatch.setattr(processes, "decode_pieces", run_out)
    (told,) = processes._answers({"path": "clip.mp4"})
    assert "clip.mp4" in told[0]["device_error"]


def test_a_process_that_cannot_be_started_is_the_machines_fault_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    pool = Decoders(1)
    monkeypatch.setattr(processes.subprocess, "Popen", refuse)
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"no process that decodes can be started here: .*unavailable"):
            list(pool.decode([{"path": "clip.mp4"}]))


def test_a_process_that_ends_before_it_can_decode_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "executable", shutil.which("false"))
    for _ in range(3):  # it may have ended before or after it is asked
        with pytest.raises(DeviceError, match=r"no process that decodes can be started here: it ended with 1"):
            list(Decoders(1).decode([{"path": "clip.mp4"}]))


def test_a_piece_for_which_there_is_no_file_is_the_machines_fault(
    decoders: Decoders, golden_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = socket.recv_fds

    def receive_none(*args: Any) -> Any:
        message, fds, *others = receive(*args)
        list(map(os.close, fds))
        return message, [], *others

    monkeypatch.setattr(processes.socket, "recv_fds", receive_none)
    with pytest.raises(DeviceError, match=r"no more files: raise the limit \(ulimit -n\)"):
        list(decoders.decode([{"path": golden_clip}]))
