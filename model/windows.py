"""Windows of whole videos for pre-training, as the original's HowTo100M loader draws them.

A video's log-mel is taken over the whole file; a window of it is cut together with the 2D and 3D rows of the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SAMPLING_RATE = 16000
HOP = 160
WINDOW = 400
ROWS_PER_S = {"2d": 1.0, "3d": 1.5}


@dataclass(frozen=True)
class VideoFeatures:
    """Features of one whole video."""

    rows_2d: npt.NDArray[np.float32] | None
    """[T2, D2] one row a second; None where only the other family is wanted."""
    rows_3d: npt.NDArray[np.float32] | None
    """[T3, D3] 1.5 rows a second; None for the 2D-only variant."""
    log_mel: npt.NDArray[np.float32]
    """[T, 40] dB, 100 frames a second."""

    @property
    def families(self) -> dict[str, npt.NDArray[np.float32]]:
        """The families there are, 2D before 3D."""
        rows = {"2d": self.rows_2d, "3d": self.rows_3d}
        return {family: values for family, values in rows.items() if values is not None}


@dataclass(frozen=True)
class Window:
    """A stretch of a video, in the seconds and frames the original computes."""

    start_s: float
    end_s: float
    frame: int
    """First log-mel frame."""
    num_frames: int
    """Frames before padding, at most those wanted."""


def seconds_of_frames(num_frames: int) -> float:
    """Time at the centre of a frame, as librosa's frames_to_time with n_fft 400 gives it."""
    return (num_frames * HOP + WINDOW // 2) / SAMPLING_RATE


def frame_of_seconds(seconds: float) -> int:
    """First frame of a time; -2 at 0 s, as librosa's time_to_frames with n_fft 400 gives it."""
    return int((int(seconds * SAMPLING_RATE) - WINDOW // 2) // HOP)


def random_windows(
    video_frames: int, num_windows: int, num_frames: int, generator: np.random.RandomState | np.random.Generator
) -> list[Window]:
    """Windows that start at random whole seconds, drawn with replacement.

    Args:
        video_frames: log-mel frames of the video; a video shorter than a window gives windows at 0 s, to be padded.
        num_windows: how many (the original's n_pair).
        num_frames: frames of a window (1,000 or 1,024 in the original).
        generator: the source of chance; the original's draws come from `numpy.random.RandomState`.
    """
    duration_s, window_s = int(seconds_of_frames(video_frames)), int(seconds_of_frames(num_frames))
    starts = generator.choice(range(max(1, duration_s - (window_s + 1))), num_windows, replace=True)
    windows = []
    for start_s in starts:
        frame = max(0, frame_of_seconds(float(start_s)))
        length = min(num_frames, video_frames - frame)
        windows.append(Window(float(start_s), float(start_s + window_s), frame, length))
    return windows


def caption_window(
    starts_s: Sequence[float] | npt.NDArray[np.float64],
    ends_s: Sequence[float] | npt.NDArray[np.float64],
    index: int,
    min_s: float,
    video_frames: int,
    num_frames: int,
    clamp: bool = True,
) -> tuple[Window, list[int]]:
    """A caption, grown by its neighbours until it lasts long enough.

    The neighbour that gives the shorter whole is taken, the previous one of two equals.

    Args:
        starts_s: of all captions of the video, in order.
        ends_s: of all captions.
        index: the caption to start from.
        min_s: shortest window.
        video_frames: log-mel frames of the video.
        num_frames: most frames of a window.
        clamp: begin at frame 0 where the original, for a caption at 0 s, slices from -2 and gets no audio at all.

    Returns:
        The window, and the captions in it in order of growth.
    """
    first = last = index
    grown = [index]
    while ends_s[last] - starts_s[first] < min_s and (first > 0 or last < len(starts_s) - 1):
        previous_s = ends_s[last] - starts_s[first - 1] if first > 0 else float("inf")
        next_s = ends_s[last + 1] - starts_s[first] if last < len(starts_s) - 1 else float("inf")
        if previous_s <= next_s:
            first -= 1
            grown.append(first)
        else:
            last += 1
            grown.append(last)
    start_s, end_s = float(starts_s[first]), float(ends_s[last])
    begin, end = frame_of_seconds(start_s), frame_of_seconds(end_s)
    frames = range(video_frames)[slice(max(0, begin), max(0, end)) if clamp else slice(begin, end)]
    return Window(start_s, end_s, frames.start if frames else 0, min(len(frames), num_frames)), grown


def cut_video(video: VideoFeatures, window: Window) -> npt.NDArray[np.float32]:
    """[D2 + D3] maximum over the window's rows of each family, each L2-normalised; zeros where there are no rows."""
    halves = []
    for family, all_rows in video.families.items():
        rows = all_rows[int(window.start_s * ROWS_PER_S[family]) : int(window.end_s * ROWS_PER_S[family]) + 1]
        highest = (rows.max(axis=0) if len(rows) else np.zeros(rows.shape[1])).astype(np.float32)
        halves.append(np.asarray(highest / max(float(np.linalg.norm(highest)), 1e-12), np.float32))
    return np.concatenate(halves)
