"""Lhotse Shar: a list of cuts a shard, and beside it an archive a feature; no recordings, for media are not ours."""

import gzip
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from numpy.typing import NDArray

from datasets.files import write_bytes
from datasets.releases.layout import read_manifest
from flows.exporting.shards import Sample, count_shards, read_samples

_FRAME_SHIFT_S, _SAMPLING_RATE_HZ = 0.01, 16_000
_IN_ARCHIVE: dict[str, Any] = {"storage_type": "shar", "storage_path": "", "storage_key": ""}
_FIELDS = {
    "features": "log_mel",
    **{name: name for name in ("features_2d", "features_3d", "features_sound", "pooled_2d", "pooled_3d")},
}
"""{field of a cut: vectors of a sample}; lhotse's own field for frames of sound has our log-mel."""
_NO_TOOLS: Any = SimpleNamespace(
    add_tools_to_path=lambda: None, add_macos_homebrew_lib_paths=lambda: None, default_tools_cachedir=None
)
"""In place of lhotse's module that makes a folder in the user's home, for programs that are not used here."""


def write_cuts(release: Path, folder: Path, splits: dict[str, int]) -> None:
    """Write data/{split}/cuts.000000.jsonl.gz and FIELD.000000.tar for each shard of a release."""
    sys.modules.setdefault("lhotse.tools.env", _NO_TOOLS)
    for split in splits:
        (folder / "data" / split).mkdir(parents=True)
        for number in range(count_shards(release, split)):
            _write_shard(release, split, number, folder / "data" / split)


def _write_shard(release: Path, split: str, number: int, folder: Path) -> None:
    from lhotse.array import Array
    from lhotse.shar.writers.array import ArrayTarWriter
    from lhotse.shar.writers.cut import JsonlShardWriter

    families = read_manifest(release)["families"]
    fields = {field: name for field, name in _FIELDS.items() if name in families or name.startswith("pooled")}
    cuts = folder / f"cuts.{number:06d}.jsonl.gz"
    with ExitStack() as opened:
        listed = opened.enter_context(JsonlShardWriter(str(cuts), shard_size=None))
        archives = {}
        for field in fields:
            archive = ArrayTarWriter(f"{folder}/{field}.{number:06d}.tar", shard_size=None)
            archives[field] = opened.enter_context(archive)
        for sample in read_samples(release, split, number):
            cut = _make_cut(sample)
            for field, name in fields.items():
                array = sample.arrays.get(name)
                if array is None:
                    archives[field].write_placeholder(cut.id)
                    continue
                is_sound = field == "features"
                held = _describe_frames(cut, array) if is_sound else Array(shape=list(array.shape), **_IN_ARCHIVE)
                setattr(cut, field, held)
                archives[field].write(cut.id, array, manifest=held)
            listed.write(cut)
    # Its head has the time, by which two exports of one release would differ.
    write_bytes(cuts, gzip.compress(gzip.decompress(cuts.read_bytes()), mtime=0))


def _make_cut(sample: Sample) -> Any:
    """A cut of the clip's length, which begins at 0; where it lies in its video is in `custom`."""
    from lhotse import SupervisionSegment
    from lhotse.cut import MonoCut

    facts = {name: value for name, value in sample.facts.items() if value is not None}
    words = facts.pop("transcript", None)
    duration = (facts["end_ms"] - facts["start_ms"]) / 1000
    common = {"id": facts["clip_id"], "start": 0, "duration": duration, "channel": 0}
    said = []
    if words is not None:
        own = {name: words[name] for name in ("confidence", "engine") if words[name] is not None}
        told = {"recording_id": facts["video_id"], "text": words["text"], "language": words["language"]}
        said = [SupervisionSegment(**common, **told, custom=own)]
    return MonoCut(**common, supervisions=said, custom=facts)


def _describe_frames(cut: Any, frames: NDArray[Any]) -> Any:
    """Log-mel as lhotse sees it; its length is that of its frames, of which the last begins where the clip ends."""
    from lhotse import Features

    return Features(
        type="log-mel",
        num_frames=len(frames),
        num_features=frames.shape[1],
        frame_shift=_FRAME_SHIFT_S,
        sampling_rate=_SAMPLING_RATE_HZ,
        start=0,
        duration=round(len(frames) * _FRAME_SHIFT_S, 2),
        recording_id=cut.custom["video_id"],
        channels=0,
        **_IN_ARCHIVE,
    )
