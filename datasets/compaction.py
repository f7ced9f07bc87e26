"""Many small parts of a table into few larger ones: the same rows, so the same digest.

A journal names the parts that are being merged and the part that they become; then the new part is written, then the
old ones are deleted. However that is killed, the table reads the same at every moment, and the next compaction ends
what was begun: nothing is deleted unless the new part is there.
"""

from pathlib import Path

import fsspec
import pyarrow as pa

from datasets.attempts import keep_highest_attempt
from datasets.files import join_path, read_json, write_json
from datasets.parts import read_part
from datasets.schemas import TABLES
from datasets.tables import list_parts, part_path, write_part

# Tables whose parts are batches. The others are small, and some write one part anew each time (requests).
COMPACTED = (
    "searches",
    "discoveries",
    "permissions",
    "videos",
    "media",
    "segmentations",
    "segments",
    "clips",
    "qualities",
    "features_2d",
    "features_3d",
    "features_sound",
    "log_mel",
    "pooled",
    "transcripts",
)
TARGET_BYTES = 64 << 20
JOURNAL = "_compacting.json"


def compact_table(root: str | Path, name: str, target_bytes: int = TARGET_BYTES) -> tuple[int, int]:
    """Merge the small parts of a table, each recipe by itself; the caller holds the root.

    Args:
        root: folder or fsspec URL of the dataset root.
        name: a table of `COMPACTED`.
        target_bytes: parts below half of it are merged until they reach it.

    Returns:
        (number of parts before, after).
    """
    if name not in COMPACTED:
        raise ValueError(f"parts of {name} are not batches: compact takes {', '.join(COMPACTED)}")
    fs = fsspec.core.url_to_fs(str(root))[0]
    before = len(list_parts(root, name))
    _finish(root, name)
    # One listing: asking an object store for the size of each part would be a request a part.
    sizes = {path: entry["size"] for path, entry in fs.find(join_path(root, name), detail=True).items()}
    groups: list[list[str]] = []  # small parts of one recipe that together reach the target, or all that are left
    num_bytes = 0
    for path in list_parts(root, name):
        if sizes[path] * 2 > target_bytes:
            continue
        if not groups or num_bytes >= target_bytes or Path(path).parent != Path(groups[-1][0]).parent:
            groups.append([])
            num_bytes = 0
        groups[-1].append(path)
        num_bytes += sizes[path]
    for paths in groups:
        if len(paths) == 1:
            continue
        parts = [read_part(fs, path) for path in paths]
        merged = keep_highest_attempt(TABLES[name], pa.concat_tables(parts, promote_options="permissive"))
        # Named after the parts, not after their keys: a wholly retried batch's keys name one of the old parts.
        old = [Path(path).name for path in paths]
        new = part_path(root, name, merged, old)
        write_json(join_path(root, name, JOURNAL), {"recipe": Path(new).parent.name, "old": old, "new": Path(new).name})
        write_part(root, name, merged, old)
        _finish(root, name)
    return before, len(list_parts(root, name))


def _finish(root: str | Path, name: str) -> None:
    """Delete the old parts of the journal if the new one is there, else forget that they were to be merged."""
    fs, journal_path = fsspec.core.url_to_fs(join_path(root, name, JOURNAL))
    journal = read_json(join_path(root, name, JOURNAL))
    if journal is None:
        return
    folder = f"{journal_path.rpartition('/')[0]}/{journal.get('recipe')}"
    # A journal without "new" is of an earlier version. What it left is in the table twice, which no reader can tell.
    if "new" in journal and fs.exists(f"{folder}/{journal['new']}"):
        for path in (f"{folder}/{part}" for part in journal["old"]):
            if fs.exists(path):
                fs.rm_file(path)
    fs.rm_file(journal_path)
