"""Features of whole videos as the original's HowTo100M loader wants them, read in place.

A csv has a column `path`; below the folder of features lie PATH/ID_2d.npz and PATH/ID_3d.npz with an array `features`
[T, D], below that of sounds PATH/ID_spec.npz with an array `arr_0` [40, T], ID being the last part of PATH.
"""

import csv
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from datasets.releases.layout import is_inside
from model.avlnet import NUM_MELS
from model.pretraining import VideoSet
from model.settings import WindowSettings
from model.windows import VideoFeatures

MAX_ARRAY_BYTES = 1 << 30
"""Of one unpacked array: ten hours of 3D features have 220 MB."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NpzVideos(Sequence[VideoFeatures]):
    """Videos that are read from disk each time they are asked for."""

    paths: tuple[str, ...]
    """Of the csv."""
    visual: Path
    audio: Path
    families: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> VideoFeatures: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[VideoFeatures]: ...
    def __getitem__(self, index: int | slice) -> VideoFeatures | Sequence[VideoFeatures]:
        if isinstance(index, slice):
            raise TypeError("one video at a time")
        files = self.files(index)
        rows = {family: _read_array(files[family], "features") for family in self.families}
        mel = _read_array(files["spec"], "arr_0")
        if mel.shape[0] != NUM_MELS:
            raise ValueError(f"{files['spec']}: arr_0 must be [{NUM_MELS}, T], is {list(mel.shape)}")
        return VideoFeatures(rows.get("2d"), rows.get("3d"), mel.T)

    def files(self, index: int) -> dict[str, Path]:
        """{family, or spec for the sound: file} of a video."""
        path = self.paths[index]
        name = PurePosixPath(path).name
        visual = {family: self.visual / path / f"{name}_{family}.npz" for family in self.families}
        return {**visual, "spec": self.audio / path / f"{name}_spec.npz"}


def load_npz_videos(windows: WindowSettings, families: tuple[str, ...]) -> VideoSet:
    """The videos of `windows.csv` that have all their files; how many have not is logged.

    Raises:
        ValueError: no such csv, one without the column, a path that leaves the folder, or no video with its files.
    """
    assert windows.csv is not None
    if windows.drawn == "speech":
        raise ValueError('windows.drawn must be "random" with windows.csv: its videos have no table of segments')
    listed = Path(windows.csv)
    try:
        with listed.open(encoding="utf-8-sig", newline="") as file:
            rows = [row.get("path") for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read {listed}: {str(error)[:200]}") from error
    paths = tuple((row or "").replace("None/", "") for row in rows)
    wrong = [name for name in paths if not is_inside(name)]
    if wrong:
        raise ValueError(f"{listed} must have a column path with a folder a line, got {wrong[0][:100]!r}")
    if not paths:
        raise ValueError(f"{listed} has no line below its heading path")
    visual = Path(windows.features_folder or listed.parent)
    videos = NpzVideos(paths, visual, Path(windows.audio_folder or visual), families)
    there = tuple(path for i, path in enumerate(paths) if all(file.is_file() for file in videos.files(i).values()))
    if not there:
        raise ValueError(f"no video of {windows.csv} has its files, the first would be {videos.files(0)['spec']}")
    if len(there) < len(paths):
        logger.warning(
            "%d of %d videos of %s lack a file and are left out", len(paths) - len(there), len(paths), windows.csv
        )
    videos = NpzVideos(there, videos.visual, videos.audio, families)
    return VideoSet(list(there), videos, windows.per_video, windows.num_frames)


def _read_array(path: Path, name: str) -> npt.NDArray[Any]:
    """One array of numbers of an npz file, its size looked at before it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            num_bytes = archive.getinfo(f"{name}.npy").file_size
        if num_bytes > MAX_ARRAY_BYTES:
            raise ValueError(f"{name} has {num_bytes:,} bytes, more than any video's")
        with np.load(path, allow_pickle=False) as held:
            values: npt.NDArray[Any] = held[name]
    except (OSError, LookupError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is no file of features: {str(error)[:200]}") from error
    if values.ndim != 2 or values.dtype.kind != "f" or 0 in values.shape:
        raise ValueError(f"{path}: {name} must be a matrix of numbers, is {values.dtype} {list(values.shape)}")
    return values
