"""Whole videos to pre-train on: each step draws several aligned windows from each of its videos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.tables import current_recipe, read_ok, read_parts, read_table, refuse_mixed
from datasets.wide import widen
from model.data import FAMILIES, ClipSet
from model.settings import WindowSettings
from model.vectors import read_frames
from model.windows import VideoFeatures, Window, caption_window, cut_video, random_windows

Times = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class VideoSet:
    """The videos of one split; as many pairs as videos times `windows_per_video`."""

    clip_ids: list[str]
    videos: Sequence[VideoFeatures] = field(repr=False)
    windows_per_video: int = 32
    """The original's n_pair."""
    window_frames: int = 1000
    """Frames of a window; a shorter video is padded to it."""
    captions: Sequence[Times] | None = field(default=None, repr=False)
    """Start and end of each caption of each video, in seconds and in order; windows are then grown from captions."""
    min_caption_s: float = 10.0
    """Captions grow until they last so long."""

    def __len__(self) -> int:
        return len(self.clip_ids) * self.windows_per_video

    @property
    def video_dim(self) -> int:
        """Size of the video feature."""
        return sum(rows.shape[1] for rows in self.videos[0].families.values())

    def draw(self, indices: npt.NDArray[np.int64], seed: Sequence[int]) -> ClipSet:
        """Random windows of some videos; a video's windows depend on `seed` and the video alone.

        Args:
            indices: of the videos.
            seed: for instance the training's seed and the epoch.

        Returns:
            `windows_per_video` windows of each video, video by video.
        """
        count, videos = self.windows_per_video, [self.videos[i] for i in indices]
        generators = [np.random.default_rng([*seed, int(index)]) for index in indices]
        windows = [self._windows(*one) for one in zip(indices, videos, generators, strict=True)]
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

    def _windows(self, index: int, video: VideoFeatures, generator: np.random.Generator) -> list[Window]:
        """Random windows of one video; of one without captions, windows from random seconds on."""
        num_frames = len(video.log_mel)
        if self.captions is None or len(self.captions[index][0]) == 0:
            return random_windows(num_frames, self.windows_per_video, self.window_frames, generator)
        starts_s, ends_s = self.captions[index]
        drawn = generator.choice(len(starts_s), self.windows_per_video, replace=True)
        return [
            caption_window(starts_s, ends_s, int(i), self.min_caption_s, num_frames, self.window_frames)[0]
            for i in drawn
        ]


def load_videos(
    root: str | Path,
    split: str,
    windows: WindowSettings | None = None,
    features: Sequence[str] = FAMILIES,
    cache_dir: str | Path | None = None,
) -> VideoSet:
    """Videos of a split, each one a clip that is the whole of its video (`clips.whole_videos`).

    Args:
        root: dataset root with the tables splits, clips, log_mel, the features asked for, and segments where windows
            are drawn by speech.
        split: train, val or test.
        windows: what is cut from a video; the original's when not given.
        features: families of the video feature, in order; ("2d",) for the image variant.
        cache_dir: local folder for memory-mapped copies of the parts; in memory when not given.

    Raises:
        ValueError: no video of that split has features.
    """
    windows = windows or WindowSettings()
    splits = read_ok(root, "splits", ["clip_id", "split"])
    wanted = splits.filter(pc.equal(splits["split"], split))
    ids = widen(wanted).sort_by("clip_id")["clip_id"].combine_chunks()
    tables = {"log_mel": "log_mel", **{family: f"features_{family}" for family in features}}
    refuse_mixed(root, tables.values())
    rows: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    for key, table in tables.items():
        read = partial(read_frames, clip_ids=ids, cache_dir=cache_dir)
        frames = read_parts(root, table, current_recipe(root, table), read)
        spans = zip(frames.clip_ids.to_pylist(), frames.chunk, frames.starts, frames.num_frames, strict=True)
        rows[key] = {name: frames.chunks[chunk][start : start + length] for name, chunk, start, length in spans}
    names = [name for name in ids.to_pylist() if all(name in of_table for of_table in rows.values())]
    if not names:
        raise ValueError(f"{root} has no features for split {split!r} ({len(ids)} videos): run featurize first")
    rows_2d, rows_3d = (rows.get(family, {}) for family in FAMILIES)
    videos = [VideoFeatures(rows_2d.get(name), rows_3d.get(name), rows["log_mel"][name]) for name in names]
    captions = _speech_times(root, names) if windows.drawn == "speech" else None
    return VideoSet(names, videos, windows.per_video, windows.num_frames, captions, windows.min_s)


def _speech_times(root: str | Path, clip_ids: list[str]) -> list[Times]:
    """Speech segments of each clip, in seconds from its start, in order; those that lie in it whole."""
    clips = read_table(root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"])
    clips = clips.filter(pc.is_in(clips["clip_id"], pa.array(clip_ids)))
    speech = read_table(root, "segments", ["video_id", "start_ms", "end_ms", "label"])
    speech = speech.filter(pc.equal(speech["label"], "speech")).select(["video_id", "start_ms", "end_ms"])
    speech = speech.rename_columns(["video_id", "from_ms", "to_ms"])
    joined = widen(clips.join(speech, keys="video_id", join_type="inner")).sort_by("from_ms")
    inside = (pc.field("from_ms") >= pc.field("start_ms")) & (pc.field("to_ms") <= pc.field("end_ms"))
    joined = joined.filter(inside)
    times: dict[str, list[tuple[float, float]]] = {clip_id: [] for clip_id in clip_ids}
    columns = (joined[name].to_pylist() for name in ("clip_id", "start_ms", "from_ms", "to_ms"))
    for clip_id, start, speech_start, speech_end in zip(*columns, strict=True):
        times[clip_id].append(((speech_start - start) / 1000, (speech_end - start) / 1000))
    arrays = (np.array(spans, np.float64).reshape(-1, 2) for spans in times.values())
    return [(array[:, 0], array[:, 1]) for array in arrays]
