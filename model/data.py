"""Clips for the model: log-mel frames and pooled video features of one split, joined from a root's tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from datasets.devices import device_errors
from datasets.parts import open_parquet
from datasets.releases.layout import read_shard, shards_of
from datasets.splits.drawn import read_drawn
from datasets.tables import current_recipe, read_ok, read_parts, refuse_mixed
from datasets.wide import widen
from model.avlnet import NUM_MELS
from model.vectors import Frames, read_frames

MAX_FRAMES = 5120
"""Frames of a clip that the model sees, 51.2 s; the original pads or cuts every clip to it."""
RECEPTIVE_FRAMES = 420
"""One-sided receptive field of the audio network: 28 + 56 + 112 + 224 frames."""
FAMILIES = ("2d", "3d")


@dataclass(frozen=True)
class Batch:
    """Clips padded to one length."""

    audio: Tensor
    """[B, 40, T] float32, padded with 0, as in the original (0 dB is the loudest value)."""
    num_frames: Tensor
    """int64 [B], before padding or cutting."""
    video: Tensor
    """[B, video_dim] float32."""

    def pinned(self) -> "Batch":
        """The same in memory that a GPU reads beside its work.

        Raises:
            DeviceError: there is none, or no GPU that works.
        """
        with device_errors("cuda", "the machine has no memory to pin for a batch; lower its size"):
            return Batch(self.audio.pin_memory(), self.num_frames, self.video.pin_memory())


@dataclass(frozen=True)
class ClipSet:
    """The clips of one split, sorted by clip_id."""

    clip_ids: list[str]
    video_ids: list[str]
    chunks: tuple[npt.NDArray[np.float32], ...]
    """Each [frames of many clips, 40] dB relative to the clip's maximum; may lie in a memory map."""
    chunk: npt.NDArray[np.int64]
    """[N] index into `chunks`."""
    starts: npt.NDArray[np.int64]
    """[N] first row of each clip in its chunk."""
    num_frames: npt.NDArray[np.int64]
    """[N] rows of each clip."""
    video: npt.NDArray[np.float32]
    """[N, video_dim] pooled features, each family L2-normalised, 2D before 3D."""
    num_without_features: int = 0
    """Clips of the split that have no features and are left out."""
    padded_to: int | None = None
    """Frames that training pads every batch to; as few as the recipe allows when not given."""
    weights: npt.NDArray[np.float64] | None = None
    """[N] in (0, 1]: share of the epochs in which training draws each clip; every epoch when not given."""

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """[N] `weights`, or 1 where there are none."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def frames(self, index: int) -> npt.NDArray[np.float32]:
        """[T, 40] frames of one clip, not copied."""
        start, stop = self.starts[index], self.starts[index] + self.num_frames[index]
        frames: npt.NDArray[np.float32] = self.chunks[self.chunk[index]][start:stop]
        return frames

    @property
    def video_dim(self) -> int:
        """Size of the video feature."""
        return int(self.video.shape[1])

    def batch(self, indices: Sequence[int] | npt.NDArray[np.int64], num_padded: int | None = None) -> Batch:
        """Clips by index, padded with 0 or cut to `num_padded` frames (the longest clip's frames when not given)."""
        indices = np.asarray(indices, np.int64)
        num_frames = self.num_frames[indices]
        if num_padded is None:
            num_padded = int(min(num_frames.max(), MAX_FRAMES))
        audio = np.zeros((len(indices), num_padded, NUM_MELS), np.float32)
        for row, index in enumerate(indices):
            frames = self.frames(index)[:num_padded]
            audio[row, : len(frames)] = frames
        return Batch(
            torch.from_numpy(audio).transpose(1, 2),
            torch.from_numpy(num_frames),
            torch.from_numpy(self.video[indices]),
        )

    def spoilt(self) -> list[str]:
        """Ids of clips with numbers that are not finite."""
        sides = ((self.video[i], self.frames(i)) for i in range(len(self)))
        are_finite = (np.isfinite(video).all() and np.isfinite(audio).all() for video, audio in sides)
        return [name for name, is_finite in zip(self.clip_ids, are_finite, strict=True) if not is_finite]

    def subset(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> "ClipSet":
        """The clips at `indices`, in that order."""
        indices = np.asarray(indices, np.int64)
        return replace(
            self,
            clip_ids=[self.clip_ids[i] for i in indices],
            video_ids=[self.video_ids[i] for i in indices],
            chunk=self.chunk[indices],
            starts=self.starts[indices],
            num_frames=self.num_frames[indices],
            video=self.video[indices],
            weights=None if self.weights is None else self.weights[indices],
        )


def padded_length(num_frames: int) -> int:
    """Frames to pad a clip to in eval mode for the embedding that padding to 5,120 gives.

    Frames past the clip reach the pooled ones through the convolutions, but no further than the receptive field.
    """
    return min(MAX_FRAMES, round_up_to_16(min(num_frames, MAX_FRAMES) + RECEPTIVE_FRAMES))


def round_up_to_16(num_frames: int) -> int:
    """The network halves time four times."""
    return -(-num_frames // 16) * 16


def load_clips(
    root: str | Path, split: str | None, features: Sequence[str] = FAMILIES, cache_dir: str | Path | None = None
) -> ClipSet:
    """Clips of a split that have log-mel and pooled features.

    Args:
        root: dataset root with the tables splits (or pairs: images with spoken captions), log_mel and pooled, or a
            release with shards of them.
        split: train, val or test; None for the drawn clips of all, of a root.
        features: families of the video feature, in order; ("2d",) for the image variant.
        cache_dir: local folder for memory-mapped copies of the log-mel parts; in memory when not given.

    Raises:
        ValueError: an unknown family, no clip of that split has features, or features of several sizes or of several
            recipes of which none is current.
    """
    unknown = set(features) - set(FAMILIES)
    if unknown or not features:
        raise ValueError(f"features must be some of {list(FAMILIES)}, got {list(features)}")
    columns = ["clip_id", "video_id", *(f"pooled_{family}" for family in features)]
    shards = shards_of(root, "log_mel", split, bare=True) if split is not None else []
    if split is not None and shards:
        parts = []
        for path in shards_of(root, "pooled", split, bare=True):
            with open_parquet(path) as opened:
                parts.append(read_shard(opened, path, columns))
        nothing = pa.table({name: pa.array([], pa.string()) for name in columns})
        pooled = wanted = pa.concat_tables(parts) if parts else nothing
        frames = read_frames(shards, _ids(wanted), cache_dir)
    else:
        refuse_mixed(root, ("pooled", "log_mel"))
        pooled = read_ok(root, "pooled", columns)
        wanted = _in_split(root, split)
        read = partial(read_frames, clip_ids=_ids(wanted), cache_dir=cache_dir)
        frames = read_parts(root, "log_mel", current_recipe(root, "log_mel"), read)
    return _join(root, split, widen(wanted).sort_by("clip_id"), pooled, frames)


def _in_split(root: str | Path, split: str | None) -> pa.Table:
    drawn = read_drawn(root)
    return drawn if split is None else drawn.filter(pc.equal(drawn["split"], split))


def has_split(root: str | Path, split: str) -> bool:
    """Whether a root or release has a clip or pair of that split at all, with features or without."""
    return bool(shards_of(root, "log_mel", split, bare=True)) or _in_split(root, split).num_rows > 0


def _join(root: str | Path, split: str | None, wanted: pa.Table, pooled: pa.Table, frames: Frames) -> ClipSet:
    has_both = pc.and_(pc.is_in(wanted["clip_id"], frames.clip_ids), pc.is_in(wanted["clip_id"], _ids(pooled)))
    clips = wanted.filter(has_both)
    if clips.num_rows == 0:
        of = "its clips" if split is None else f"split {split!r}"
        raise ValueError(f"{root} has no features for {of} ({wanted.num_rows} clips): run featurize first")
    audio_rows, video_rows = (pc.index_in(clips["clip_id"], ids).to_numpy() for ids in (frames.clip_ids, _ids(pooled)))
    halves = [normalised(pooled[name], name) for name in pooled.column_names if name.startswith("pooled_")]
    return ClipSet(
        clip_ids=clips["clip_id"].to_pylist(),
        video_ids=clips["video_id"].to_pylist(),
        chunks=frames.chunks,
        chunk=frames.chunk[audio_rows],
        starts=frames.starts[audio_rows],
        num_frames=frames.num_frames[audio_rows],
        video=np.concatenate([half[video_rows] for half in halves], axis=1),
        num_without_features=wanted.num_rows - clips.num_rows,
    )


def _ids(table: pa.Table) -> pa.Array:
    return widen(table.select(["clip_id"]))["clip_id"].combine_chunks()


def normalised(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float32]:
    """Vectors of one size as an array, each of length 1 (0 stays 0)."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not (is_list and pa.types.is_floating(column.type.value_type)):
        raise ValueError(f"{name} must hold lists of numbers, is {column.type}: no shard of a release")
    sizes = pc.list_value_length(column).unique().to_pylist()
    if name == "pooled_3d" and sizes == [None]:
        told = "set train.features=2d (pretrain --features 2d makes its weights), or make them (features.encoder_3d)"
        raise ValueError(f"there are no 3D features: {told}")
    if len(sizes) != 1 or not sizes[0]:
        raise ValueError(f"{name} must hold vectors of one size, got sizes {sizes}: recompute the features")
    vectors = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks]).reshape(-1, sizes[0])
    with np.errstate(all="ignore"):  # a norm that is no number is refused in the next line
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise ValueError(f"{name} must hold finite numbers, not all are: recompute the features")
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)
