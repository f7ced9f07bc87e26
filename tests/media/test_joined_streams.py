"""Streams joined from random sizes, formats and turns: every row is the upright picture that was put in, each time."""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.frames import decode_clip
from features.frames.filters import scaled_size
from tests.media.render import UInt8, grey

TOLERANCE = 8.0
"""Grey levels, on average over a picture: coding and scaling lose 3, the next picture is 12 away, other memory 40."""
X264 = {"preset": "ultrafast", "crf": "8", "x264-params": "videoformat=pal"}
"""The video format is written so that the range is: a stream that says nothing keeps what was said before."""


@dataclass(frozen=True)
class Piece:
    """Some pictures of one kind, 24 a second."""

    width: int
    height: int
    pixel_format: str
    color_range: int
    num_pictures: int

    def pictures(self, first: int) -> list[UInt8]:
        """A slope to the right, a bright corner at the top left, and a band whose grey counts on from `first`."""
        picture = np.empty((self.height, self.width), np.uint8)
        picture[:] = np.linspace(40, 200, self.width)
        picture[: self.height // 4, : self.width // 4] = 250
        pictures = [picture.copy() for _ in range(self.num_pictures)]
        for number, copy in enumerate(pictures, first):
            copy[self.height // 3 : 2 * self.height // 3] = 16 + 37 * number % 220
        return pictures


PIECES = st.lists(
    st.builds(
        Piece,
        width=st.integers(24, 90).map(lambda half: 2 * half),
        height=st.integers(24, 90).map(lambda half: 2 * half),
        pixel_format=st.sampled_from(["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"]),
        color_range=st.sampled_from([1, 2]),
        num_pictures=st.integers(3, 10),
    ),
    min_size=2,
    max_size=4,
)


def encode(piece: Piece, first: int) -> bytes:
    """The pictures of a piece as an MPEG transport stream; their times go on from `first`."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=24, options=X264)
        stream.width, stream.height, stream.pix_fmt = piece.width, piece.height, piece.pixel_format
        stream.codec_context.color_range = piece.color_range
        for number, picture in enumerate(piece.pictures(first), first):
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame = frame.reformat(format=piece.pixel_format, src_color_range=2, dst_color_range=piece.color_range)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def join(path: Path, pieces: list[Piece], turn: tuple[int, bool, bool]) -> None:
    """Write one file of the pieces, to be displayed turned."""
    firsts = np.cumsum([0, *(piece.num_pictures for piece in pieces)])
    data = b"".join(encode(piece, int(first)) for piece, first in zip(pieces, firsts[:-1], strict=True))
    with av.open(io.BytesIO(data)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        for packet in given.demux():
            if packet.size:
                packet.stream = stream
                made.mux(packet)


def upright(picture: UInt8, turn: tuple[int, bool, bool]) -> UInt8:
    picture = np.rot90(picture, turn[0] // 90)
    picture = np.fliplr(picture) if turn[1] else picture
    return np.flipud(picture) if turn[2] else picture


def shown(picture: UInt8, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """A picture squeezed to where the first one's size would put it, cropped as rows of 24 a second are, in cells."""
    width, height = scaled_size(*size, 112)
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), picture.shape, strict=True))
    left, top = int((width - 112) / 2), int((height - 112) / 2)
    cropped = picture[rows][:, columns][top : top + 112, left : left + 112]
    return grey(np.repeat(cropped[None, :, :, None], 3, axis=3))[0]


def check(pieces: list[Piece], turn: tuple[int, bool, bool], ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"joined.{ending}"
        join(path, pieces, turn)
        clip, again = decode_clip(path), decode_clip(path)
    assert np.array_equal(clip.frames_2d, again.frames_2d)
    assert np.array_equal(clip.frames_3d, again.frames_3d)
    pictures, first = [], 0
    for piece in pieces:
        pictures += [upright(picture, turn) for picture in piece.pictures(first)]
        first += piece.num_pictures
    assert len(clip.frames_3d) == len(pictures)
    size = pictures[0].shape[1], pictures[0].shape[0]
    off = [np.abs(found - shown(p, size)).mean() for found, p in zip(grey(clip.frames_3d), pictures, strict=True)]
    assert max(off) <= TOLERANCE, [round(float(level), 1) for level in off]


TURNS = st.tuples(st.sampled_from([0, 90, 180, 270]), st.booleans(), st.booleans())


@settings(max_examples=8, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(pieces=PIECES, turn=TURNS, ending=st.sampled_from(["mp4", "mov"]))
def test_a_few_joined_streams_hold_what_was_put_in(
    pieces: list[Piece], turn: tuple[int, bool, bool], ending: str
) -> None:
    check(pieces, turn, ending)


@pytest.mark.slow
@settings(max_examples=60, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(pieces=PIECES, turn=TURNS, ending=st.sampled_from(["mp4", "mov", "mkv"]))
def test_joined_streams_hold_what_was_put_in(pieces: list[Piece], turn: tuple[int, bool, bool], ending: str) -> None:
    check(pieces, turn, ending)
