"""How many rows of a table came out how, without reading them again while its parts are what they were.

What was counted of a large table is kept beside it in ROOT/NAME/_counts.json and its like, with a hash of the listing
of the parts (path, size, time of change) that it was counted from. Another listing, or a file that cannot be read, and
it is counted again; a root that nobody may write to is counted each time.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce
from operator import or_

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from datasets.attempts import keep_highest_attempt
from datasets.files import describe_files, join_path, read_json, store_errors, write_json
from datasets.outcomes import Status
from datasets.schemas import TABLES
from datasets.tables import current_recipe, keep_ok, list_parts, read_parts, read_table
from datasets.wide import narrow, widen

SUMMED = {
    "permissions": ("is_permitted",),
    "videos": ("duration_ms",),
    "media": ("duration_ms", "num_bytes"),
    "segmentations": ("speech_ms",),
    "clips": ("start_ms", "end_ms"),
}
"""Columns of which the sums are told, too."""
WORTH_KEEPING = 100_000
"""Rows; fewer are read in a quarter of a second, and nothing is kept of them."""
ROWS_OF_A_PART = 200
"""What a part costs to open, however few it holds."""

Counts = list[dict[str, int | str | None]]


def count_rows(root: str, name: str) -> Counts:
    """Rows of the table's current recipe, {status, reason, items, and the sum of each of `SUMMED`}, by outcome."""

    def count() -> tuple[int, Counts]:
        table = read_table(root, name, [*SUMMED.get(name, ()), "status", "reason"])
        return table.num_rows, _sum_by(table, ["status", "reason"], SUMMED.get(name, ()))

    return _keep(root, "counts", [name], count)


def count_ok(root: str, name: str) -> dict[str, int]:
    """The rows that came out ok: {items, and the sum of each of `SUMMED`}."""
    ok = [row for row in count_rows(root, name) if row["status"] == Status.OK.value]
    return {column: sum(int(row[column] or 0) for row in ok) for column in ("items", *SUMMED.get(name, ()))}


def count_found(root: str) -> int:
    """Different videos among the discoveries."""

    def count() -> tuple[int, Counts]:
        found = widen(read_table(root, "discoveries", ["video_id"]))
        return found.num_rows, [{"items": pc.count_distinct(found["video_id"]).as_py()}]

    return int(_keep(root, "videos", ["discoveries"], count)[0]["items"] or 0)


def count_drawn(root: str) -> Counts:
    """Clips that came out ok of each split, {split, items, ms}."""
    spec, fs = TABLES["clips"], fsspec.core.url_to_fs(root)[0]

    def count() -> tuple[int, Counts]:
        splits = read_table(root, "splits", ["clip_id", "split"])
        if splits.num_rows == 0:
            return 0, []
        # A filter looks rows up in narrow ids alone, and in 2 GiB of them at most.
        ids = narrow(widen(splits.select(["clip_id"])).combine_chunks())["clip_id"].chunks
        columns = ["clip_id", "start_ms", "end_ms", "status", "attempt"]
        is_drawn = reduce(or_, map(pads.field("clip_id").isin, ids))

        def read_drawn(paths: list[str]) -> pa.Table:
            clips = pads.dataset(paths, spec.schema, format="parquet", filesystem=fs) if paths else None
            return clips.to_table(columns, filter=is_drawn) if clips else spec.schema.empty_table().select(columns)

        clips = keep_highest_attempt(spec, read_parts(root, "clips", current_recipe(root, "clips"), read_drawn))
        drawn = keep_ok(clips).join(splits, "clip_id", join_type="inner")
        drawn = drawn.append_column("ms", pc.subtract(drawn["end_ms"], drawn["start_ms"]))
        return sum(int(row["items"] or 0) for row in count_rows(root, "clips")), _sum_by(drawn, ["split"], ["ms"])

    return _keep(root, "drawn", ["splits", "clips"], count)


def count_values(values: pa.ChunkedArray) -> dict[str, int]:
    """{value: how often it is there}"""
    return {pair["values"]: pair["counts"] for pair in values.value_counts().to_pylist()}


def _sum_by(table: pa.Table, by: list[str], summed: Sequence[str]) -> Counts:
    counted = table.group_by(by).aggregate([([], "count_all"), *((column, "sum") for column in summed)])
    counts: Counts = counted.rename_columns([*by, "items", *summed]).to_pylist()
    return counts


def _keep(root: str, what: str, tables: Sequence[str], count: Callable[[], tuple[int, Counts]]) -> Counts:
    """What `count`, (rows read, counts), gives, or gave when the parts of these tables were what they are."""
    path = join_path(root, tables[0], f"_{what}.json")
    fs, listing, num_parts = fsspec.core.url_to_fs(root)[0], hashlib.sha256(), 0
    for name in tables:
        recipe = current_recipe(root, name)
        paths = list_parts(root, name, recipe)
        num_parts += len(paths)
        folders = {part.rpartition("/")[0] for part in paths}
        there = {path: facts for folder in folders for path, facts in describe_files(fs, folder).items()}
        facts = [[part, *there.get(part, ())] for part in paths]
        listing.update(repr([name, recipe, facts]).encode())
    with suppress(ValueError, TypeError, KeyError):  # none, or no such file of ours
        kept = read_json(path)
        if kept["listing"] == listing.hexdigest():
            counts: Counts = kept["counts"]
            return counts
    num_rows, counts = count()
    if num_rows + ROWS_OF_A_PART * num_parts >= WORTH_KEEPING:
        with suppress(*store_errors()):
            write_json(path, {"listing": listing.hexdigest(), "counts": counts})
    return counts
