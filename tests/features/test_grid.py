"""Which picture stands in which row, beside libavfilter's own fps filter."""

from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.frames.grid import Grid
from features.frames.screen import Screen

TICK = Fraction(1, 600)


def rows_of_libavfilter(times: list[int], end: int, fps: int) -> list[int]:
    """The number of the picture in each row, by `fps=N:start_time=0` over 16 pictures at most, told by their grey."""
    graph = av.filter.Graph()
    nodes = [
        graph.add("buffer", "video_size=16x16:pix_fmt=gray:time_base=1/600:pixel_aspect=1/1"),
        graph.add("fps", f"{fps}:start_time=0"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    rows = []
    for number, time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(np.full((16, 16), number, np.uint8), format="gray")
        frame.pts, frame.time_base, frame.duration = time, TICK, (*times, end)[number + 1] - time
        graph.push(frame)
    graph.push(None)
    while True:
        try:
            rows.append(int(graph.pull().to_ndarray()[0, 0]))
        except (av.error.BlockingIOError, av.error.EOFError):
            return rows


def rows_of_grid(times: list[int], end: int, fps: int) -> list[int]:
    grid = Grid(fps, (1, 1), lambda number: np.full((1, 1, 3), number, np.uint8))
    for number, until in enumerate([*times[1:], end]):
        grid.show(number, until, TICK)
    return [int(row[0, 0, 0]) for row in grid.take(grid.num_waiting)]


@settings(derandomize=True, database=None)
@given(
    gaps=st.lists(st.integers(1, 900), min_size=1, max_size=16), first=st.integers(0, 700), fps=st.sampled_from([1, 24])
)
def test_rows_are_those_of_libavfilters_fps(gaps: list[int], first: int, fps: int) -> None:
    times = [first + sum(gaps[:index]) for index in range(len(gaps))]
    end = times[-1] + gaps[-1]
    assert rows_of_grid(times, end, fps) == rows_of_libavfilter(times, end, fps)


@settings(derandomize=True, database=None)
@given(counts=st.lists(st.integers(1, 5), min_size=1), piece=st.integers(1, 7))
def test_rows_taken_piece_by_piece_are_the_rows(counts: list[int], piece: int) -> None:
    grid = Grid(1, (1, 1), lambda number: np.full((1, 1, 3), number, np.uint8))
    for number, count in enumerate(counts):
        grid.add(number, count)
    taken = []
    while grid.num_waiting:
        taken += [int(row[0, 0, 0]) for row in grid.take(piece)]
    assert taken == [number for number, count in enumerate(counts) for _ in range(count)]


def spans(times: list[int], end: int, clip_ms: int | None, fps: int = 0) -> list[tuple[Any, float]]:
    """(time of a picture, until when it is on) in a clip, in ticks of a millisecond."""
    screen, given_spans = Screen(Fraction(1, 1000), Fraction(fps) or None, clip_ms, is_range=True), []
    for time in times:
        if not screen.is_over:
            given_spans.append(screen.change(time, time))
    given_spans.append(screen.end(end))
    return [(span[0], float(span[1])) for span in given_spans if span is not None]


@pytest.mark.parametrize(
    ("times", "end", "clip_ms", "fps", "right"),
    [
        ([-40, 0, 40, 80, 120], 160, 100, 25, [(0, 40), (40, 80), (80, 120)]),  # a picture on the cut
        ([-20, 20, 60, 100, 140], 180, 100, 25, [(20, 60), (60, 100), (100, 140)]),  # as the reference counts
        ([-5000, 5000, 15_000], 25_000, 7000, 0, [(-5000, 5000), (5000, 7000)]),  # slides
        ([-5000], -4960, 7000, 0, []),  # nothing stays on its own
        ([3000], 4000, 7000, 0, [(3000, 4000)]),  # dark before the first
        ([9000], 10_000, 7000, 0, []),  # dark to the end
        ([-10, 30], 70, 20, 25, [(-10, 20)]),  # shorter than a picture
        ([-30, 70, 170], 270, 150, 10, [(-30, 70), (70, 150)]),  # ten a second are slow
    ],
)
def test_the_screen_of_a_clip(
    times: list[int], end: int, clip_ms: int, fps: int, right: list[tuple[int, float]]
) -> None:
    found = spans(times, end, clip_ms, fps)
    assert [span for span in found if span[1] > 0] == right
