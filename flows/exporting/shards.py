"""The clips of a release as whole samples: what every family holds of a clip, put together again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from datasets.releases.layout import read_manifest, shards_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """One clip: what is said of it, and its vectors."""

    facts: Row
    """metadata's columns; `transcript` with what transcripts has of it; times of rows and numbers of frames."""
    arrays: dict[str, NDArray[Any]]
    """features_2d, features_3d, features_sound [T, D] float16, log_mel [T, 40] float32, pooled_2d, pooled_3d [D]
    float32; those that a clip has."""


def count_shards(release: Path, split: str) -> int:
    """Shards of a split in each family."""
    return len(shards_of(release, "metadata", split))


def read_samples(release: Path, split: str, number: int) -> Iterator[Sample]:
    """The clips of the shard `number` of every family, by clip_id; one row group of each is in memory."""
    families = [family for family in read_manifest(release)["families"] if family != "metadata"]
    rows = {family: _read_rows(shards_of(release, family, split)[number]) for family in families}
    heads = {family: next(found, None) for family, found in rows.items()}
    for facts in _read_rows(shards_of(release, "metadata", split)[number]):
        sample = Sample(facts, {})
        for family in families:
            head = heads[family]
            if head is not None and head["clip_id"] == facts["clip_id"]:
                _add(sample, family, head)
                heads[family] = next(rows[family], None)
        yield sample


def _add(sample: Sample, family: str, row: Row) -> None:
    own = {name: value for name, value in row.items() if name not in ("clip_id", "video_id")}
    if family == "transcripts":
        sample.facts["transcript"] = own
        return
    for name, value in own.items():
        if isinstance(value, np.ndarray):
            sample.arrays[family if name == "values" else name] = value
        elif value is not None:
            sample.facts[f"{family}_{name}"] = value


def _read_rows(path: str) -> Iterator[Row]:
    """Rows of one shard; vectors as arrays [T, D] or [D], lists of whole numbers as lists."""
    with pq.ParquetFile(path) as shard:
        for group in range(shard.num_row_groups):
            rows = shard.read_row_group(group)
            for place in range(rows.num_rows):
                yield {name: _value_of(rows[name][place]) for name in rows.column_names}


def _value_of(value: Any) -> Any:
    kind = value.type
    if not value.is_valid or not pa.types.is_list(kind) or pa.types.is_integer(kind.value_type):
        return value.as_py()
    flat = value.values
    if pa.types.is_fixed_size_list(kind.value_type):
        return flat.flatten().to_numpy().reshape(len(flat), kind.value_type.list_size)
    return flat.to_numpy()
