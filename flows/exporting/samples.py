"""WebDataset: one tar a shard, whose members CLIP_ID.json and CLIP_ID.FEATURE.npy are one sample."""

from pathlib import Path
from typing import Any

from datasets.files import open_whole
from flows.exporting.shards import count_shards, read_samples


def write_samples(release: Path, folder: Path, splits: dict[str, int]) -> None:
    """Write data/{split}-00000-of-000NN.tar for each shard of a release; no member has a time or an owner."""
    import webdataset  # of the extra `export`

    for split in splits:
        num_shards = count_shards(release, split)
        for number in range(num_shards):
            path = folder / "data" / f"{split}-{number:05d}-of-{num_shards:05d}.tar"
            with open_whole(path) as file, webdataset.TarWriter(file, user="", group="", mtime=0) as tar:
                for sample in read_samples(release, split, number):
                    members: dict[str, Any] = {f"{name}.npy": array for name, array in sample.arrays.items()}
                    tar.write({"__key__": sample.facts["clip_id"], "json": sample.facts, **members})
