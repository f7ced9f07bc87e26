"""The ways of the fault server to answer: each is made here, and bound to a video id in `fault_server.FAULTS`."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.encode import FPS

if TYPE_CHECKING:
    from tests.extract.fault_server import FaultHandler

    Answer = Callable[[FaultHandler, Path, int], None]
    """(handler, good file, how many requests of this kind came before) -> None."""


def send_status(status: int, times: int | None = None, **headers: str) -> Answer:
    """Answer with an error, `times` times and then well; None: for ever."""

    def answer(handler: FaultHandler, file: Path, num_before: int) -> None:
        if times is not None and num_before >= times:
            handler.send_file(file)
        else:
            handler.begin_media(0, HTTPStatus(status), **headers)

    return answer


def send_content(change: Callable[[bytes], bytes], content_type: str = "video/mp4") -> Answer:
    """Answer with a changed file, its own length stated rightly."""
    return lambda handler, file, num_before: handler.send_body(change(file.read_bytes()), content_type)


def drop(times: int | None, keeps_range: bool = True) -> Answer:
    """End the connection at a seeded byte, `times` times; then answer well, with or without regard for Range."""

    def answer(handler: FaultHandler, file: Path, num_before: int) -> None:
        content = file.read_bytes()
        if times is not None and num_before >= times:
            if keeps_range:
                handler.send_file(file)
            else:
                handler.send_body(content, "video/mp4")
            return
        handler.begin_media(len(content))
        handler.wfile.write(content[: random.Random(num_before).randrange(1000, len(content))])

    return answer


def reset(handler: FaultHandler, file: Path, num_before: int) -> None:
    """Reset the connection before any answer."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    raise ConnectionAbortedError


def stall(seconds_per_byte: float) -> Answer:
    """Send half, then nothing, or a byte now and then, until the site ends or the client goes."""

    def answer(handler: FaultHandler, file: Path, num_before: int) -> None:
        content = file.read_bytes()
        handler.begin_media(len(content))
        handler.wfile.write(content[: len(content) // 2])
        for position in range(len(content) // 2, len(content)):
            if handler.server.ended.wait(seconds_per_byte):
                return
            handler.wfile.write(content[position : position + 1])

    return answer


def misstate_length(factor: float) -> Answer:
    """State a wrong Content-Length: more than is sent, or less (and send no more than that); Range is not honoured."""

    def answer(handler: FaultHandler, file: Path, num_before: int) -> None:
        content = file.read_bytes()
        stated = int(len(content) * factor)
        handler.begin_media(stated)
        handler.wfile.write(content[:stated])

    return answer


def flood(stated_bytes: int | None, content_type: str = "video/mp4") -> Answer:
    """Send without end; `stated_bytes` is what the header says."""

    def answer(handler: FaultHandler, file: Path, num_before: int) -> None:
        handler.begin_media(stated_bytes)
        handler.wfile.write(file.read_bytes())
        while not handler.server.ended.is_set():
            handler.wfile.write(bytes(1 << 20))

    return answer


def shift_range(handler: FaultHandler, file: Path, num_before: int) -> None:
    """Drop the first answer in the middle; answer every Range from 100 bytes further on than asked for."""
    content = file.read_bytes()
    wanted = handler.headers.get("Range", "")
    if not wanted:
        handler.begin_media(len(content))
        handler.wfile.write(content[: len(content) // 2])
        return
    start = min(int(wanted.removeprefix("bytes=").split("-")[0]) + 100, len(content))
    where = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.begin_media(len(content) - start, HTTPStatus.PARTIAL_CONTENT, Content_Range=where)
    handler.wfile.write(content[start:])


def redirect(target: str | None) -> Answer:
    """Redirect, to the same address where `target` is None."""

    def answer(handler: FaultHandler, file: Path, num_before: int) -> None:
        handler.begin_media(0, HTTPStatus.FOUND, Location=handler.server.fill(target or handler.path))

    return answer


def send_text(text: str) -> Answer:
    """A page in place of what was asked for."""
    return lambda handler, file, num_before: handler.send_body(text.encode(), "text/html; charset=utf-8")


def refusal(reason: str, subreason: str = "", status: str = "UNPLAYABLE", **metadata: Any) -> dict[str, Any]:
    """Metadata of a page that refuses in YouTube's words."""
    return {"playability": {"status": status, "reason": reason, "subreason": subreason}, "formats": []} | metadata


def media_format(**changes: Any) -> dict[str, Any]:
    """A format as the site describes it, changed."""
    plain: dict[str, Any] = {"format_id": "18", "url": "{site}/media/{id}.mp4", "ext": "mp4", "vcodec": "avc1.42C01E"}
    plain |= {"acodec": "mp4a.40.2", "width": 640, "height": 360, "fps": FPS}
    return plain | {"language": "ja", "language_preference": 10} | changes


def playlist_format(kind: str) -> dict[str, Any]:
    """Metadata whose only format is an HLS playlist."""
    return {"formats": [{"format_id": "hls", "protocol": "m3u8", "url": f"{{site}}/playlist/{kind}"}]}


def scramble(start: float, end: float) -> Callable[[bytes], bytes]:
    """Replace a share of the file by seeded noise."""

    def change(content: bytes) -> bytes:
        first, last = int(start * len(content)), int(end * len(content))
        return content[:first] + random.Random(1).randbytes(last - first) + content[last:]

    return change


def blank_header(content: bytes) -> bytes:
    """Zeros for what the header box holds; every box keeps its length."""
    begin = content.index(b"moov") + 4
    end = begin - 8 + int.from_bytes(content[begin - 8 : begin - 4])
    return content[:begin] + bytes(end - begin) + content[end:]
