"""Whole videos to pre-train on: each step draws several aligned windows from each of its videos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.schemas import Status
from datasets.tables import current_recipe, list_parts, read_table
from model.data import ClipSet
from model.frames import read_frames
from model.windows import VideoFeatures, cut_video, random_windows


@dataclass(frozen=True)
class VideoSet:
    """The videos of one split; as many pairs as videos times `windows_per_video`."""

    clip_ids: list[str]
    videos: Sequence[VideoFeatures] = field(repr=False)
    windows_per_video: int = 32
    """The original's n_pair."""
    window_frames: int = 1000
    """Frames of a window; a shorter video is padded to it."""

    def __len__(self) -> int:
        return len(self.clip_ids) * self.windows_per_video

    @property
    def video_dim(self) -> int:
        """Size of the video feature."""
        return int(self.videos[0].rows_2d.shape[1] + self.videos[0].rows_3d.shape[1])

    def draw(self, indices: npt.NDArray[np.int64], seed: Sequence[int]) -> ClipSet:
        """Random windows of some videos; a video's windows depend on `seed` and the video alone.

        Args:
            indices: of the videos.
            seed: for instance the training's seed and the epoch.

        Returns:
            `windows_per_video` windows of each video, video by video.
        """
        count, videos = self.windows_per_video, [self.videos[i] for i in indices]
        windows = [
            random_windows(len(video.log_mel), count, self.window_frames, np.random.default_rng([*seed, int(index)]))
            for index, video in zip(indices, videos, strict=True)
        ]
        flat = [(video, window) for video, drawn in zip(videos, windows, strict=True) for window in drawn]
        names = [self.clip_ids[index] for index in indices for _ in range(count)]
        return ClipSet(
            clip_ids=names,
            video_ids=names,
            chunks=tuple(video.log_mel for video in videos),
            chunk=np.repeat(np.arange(len(videos)), count),
            starts=np.array([window.frame for _, window in flat], np.int64),
            num_frames=np.array([window.num_frames for _, window in flat], np.int64),
            video=np.stack([cut_video(video, window) for video, window in flat]),
            padded_to=self.window_frames,
        )


def load_videos(
    root: str | Path,
    split: str,
    windows_per_video: int = 32,
    window_frames: int = 1000,
    cache_dir: str | Path | None = None,
) -> VideoSet:
    """Videos of a split, each one a clip from its first to its last millisecond.

    Args:
        root: dataset root with the tables splits, features_2d, features_3d and log_mel.
        split: train, val or test.
        windows_per_video: windows drawn from a video in a step.
        window_frames: frames of a window.
        cache_dir: local folder for memory-mapped copies of the log-mel parts; in memory when not given.

    Raises:
        ValueError: no video of that split has features.
    """
    splits = read_table(root, "splits", ["clip_id", "split", "status"])
    wanted = splits.filter(pc.and_(pc.equal(splits["split"], split), pc.equal(splits["status"], Status.OK.value)))
    ids = wanted.sort_by("clip_id")["clip_id"].combine_chunks()
    frames = read_frames(list_parts(root, "log_mel", current_recipe(root, "log_mel")), ids, cache_dir)
    rows_2d, rows_3d = (_rows(read_table(root, name, ["clip_id", "values", "status"])) for name in _FEATURES)
    names, videos = [], []
    for i, name in enumerate(frames.clip_ids.to_pylist()):
        if name in rows_2d and name in rows_3d:
            start = frames.starts[i]
            log_mel = frames.chunks[frames.chunk[i]][start : start + frames.num_frames[i]]
            names.append(name)
            videos.append(VideoFeatures(rows_2d[name], rows_3d[name], log_mel))
    if not names:
        raise ValueError(f"{root} has no features for split {split!r} ({len(ids)} videos): run featurize first")
    return VideoSet(names, videos, windows_per_video, window_frames)


_FEATURES = ("features_2d", "features_3d")


def _rows(table: pa.Table) -> dict[str, npt.NDArray[np.float32]]:
    """[T, D] stored rows of each clip that is ok, views of one array, in the type they are stored in."""
    table = table.filter(pc.equal(table["status"], Status.OK.value))
    if table.num_rows == 0:
        return {}
    values = table["values"].combine_chunks()
    flat = values.flatten().flatten().to_numpy().reshape(-1, values.type.value_type.list_size)
    ends = np.cumsum(pc.list_value_length(values).to_numpy(zero_copy_only=False))
    return dict(zip(table["clip_id"].to_pylist(), np.split(flat, ends[:-1]), strict=True))
