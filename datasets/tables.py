"""Working tables: read, write whole, subtract, digest.

A table is a folder of immutable Parquet parts, `ROOT/NAME/RECIPE/PART.parquet`. The root is a local folder or any
fsspec URL. `ROOT/NAME/_run.json` names the current recipe with the settings and the code behind it; the underscore
keeps pyarrow and pandas from reading it as data. Nothing here knows what a stage does.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from datasets.array_bytes import array_bytes
from datasets.attempts import keep_highest_attempt
from datasets.files import join_path, list_folder, read_json, write_bytes, write_json
from datasets.outcomes import MAX_DETAIL_CHARS, Status
from datasets.parts import parquet_bytes, read_part
from datasets.schemas import SCHEMA_VERSION, TABLES, is_volatile
from datasets.wide import narrow, widen

RUN_FILE = "_run.json"
_DIGEST_ROWS = 4096
# Parts are small: a thread a part is twice as fast as threads within one, and an object store answers many at once.
_PARTS_AT_ONCE, _TURNS = 16, 256
_MOST_LISTINGS = 20

T = TypeVar("T")


class TableError(ValueError):
    """Rows that a table must not hold."""


def make_table(name: str, rows: Iterable[dict[str, Any]], *, recipe: str, run_id: str, attempt: int = 0) -> pa.Table:
    """Rows of a stage, as dicts, to a table of the schema of `name`; absent columns become null.

    For tables without vectors; feature tables are built column by column (`add_common_columns`).
    """
    common = {"recipe": recipe, "run_id": run_id, "attempt": attempt}
    made, schema = [{**row, **common} for row in rows], TABLES[name].schema
    if TABLES[name].has_facets:
        for facet in dict.fromkeys(column for row in made for column in row if column not in schema.names):
            schema = schema.append(pa.field(facet, pa.string()))
    return pa.Table.from_pylist(made, schema=schema)


def add_common_columns(table: pa.Table, *, recipe: str, run_id: str, attempt: int = 0) -> pa.Table:
    """A stage's columns plus recipe, attempt and run id."""
    n = table.num_rows
    table = table.append_column(pa.field("recipe", pa.string(), False), pa.repeat(recipe, n))
    table = table.append_column(pa.field("attempt", pa.int32(), False), pa.repeat(pa.scalar(attempt, pa.int32()), n))
    return table.append_column(pa.field("run_id", pa.string(), False), pa.repeat(run_id, n))


def add_ok_columns(table: pa.Table) -> pa.Table:
    """A stage's columns plus status, reason and detail of rows that all came out ok."""
    n = table.num_rows
    table = table.append_column(pa.field("status", pa.string(), False), pa.repeat(Status.OK.value, n))
    return table.append_column("reason", pa.nulls(n, pa.string())).append_column("detail", pa.nulls(n, pa.string()))


def write_part(root: str | Path, name: str, table: pa.Table, input_keys: Sequence[str] | None = None) -> str | None:
    """Write one immutable part, whole or not at all, and return its path; an empty table writes nothing.

    The part's name is the hash of the batch's sorted input keys, recipe and attempt, so that doing a batch again
    replaces its part.

    Args:
        root: folder or fsspec URL of the dataset root.
        name: a table of `datasets.schemas.TABLES`.
        table: rows of the table's schema, all of one recipe.
        input_keys: what the batch was made from; the rows' own keys when not given.

    Raises:
        TableError: a column, key, status or reason that the table must not hold.
    """
    table = complete_table(name, narrow(table))
    check_table(name, table)
    if table.num_rows == 0:
        return None
    recipes = table["recipe"].unique().to_pylist()
    if len(recipes) != 1:
        raise TableError(f"{name}: a part holds one recipe, got {recipes}")
    path = part_path(root, name, table, input_keys)
    write_bytes(path, parquet_bytes(table.replace_schema_metadata({"table": name, "schema_version": SCHEMA_VERSION})))
    return path


def part_path(root: str | Path, name: str, table: pa.Table, input_keys: Sequence[str] | None = None) -> str:
    """Where `write_part` would write the rows of a batch, all of one recipe."""
    if input_keys is None:
        input_keys = ["\t".join(map(str, row.values())) for row in table.select(TABLES[name].key).to_pylist()]
    recipe, attempts = table["recipe"][0].as_py(), sorted(set(table["attempt"].to_pylist()))
    part = hashlib.sha256(json.dumps([sorted(input_keys), recipe, attempts]).encode()).hexdigest()[:20]
    return join_path(root, name, recipe, f"{part}.parquet")


def complete_table(name: str, table: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows with these columns (all when not given), in this order; null in those that came later and in facets that
    their queries do not have.
    """
    spec, schema = TABLES[name], TABLES[name].schema
    facets = [column for column in table.column_names if column not in schema.names] if spec.has_facets else []
    wanted = [*schema.names, *facets] if columns is None else columns
    lacking = spec.later | ({*wanted} - {*schema.names} if spec.has_facets else set())
    for column in sorted(lacking - {*table.column_names}):
        field = schema.field(column) if column in schema.names else pa.field(column, pa.string())
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(wanted) if {*wanted} <= {*table.column_names} else table


def check_table(name: str, table: pa.Table) -> None:
    """Raise `TableError` unless `table` fits the schema, key and vocabulary of `name`."""
    spec = TABLES[name]
    own, facets = table.column_names[: len(spec.schema)], table.column_names[len(spec.schema) :]
    if own != spec.schema.names or (facets and not spec.has_facets):
        raise TableError(f"{name}: columns must be {spec.schema.names}, got {table.column_names}")
    types = dict(zip(spec.schema.names, spec.schema.types, strict=True))
    for column in table.schema:
        expected = types.get(column.name, pa.string())
        if expected not in (pa.null(), column.type):
            raise TableError(f"{name}.{column.name}: type must be {expected}, got {column.type}")
    for column in (*spec.key, "status", "recipe", "attempt", "run_id"):
        if table[column].null_count:
            raise TableError(f"{name}.{column}: must not be null")
    unknown = set(table["status"].unique().to_pylist()) - {status.value for status in Status}
    if unknown:
        raise TableError(f"{name}.status: unknown {sorted(unknown)}")
    unknown = set(table["reason"].unique().to_pylist()) - set(spec.reasons) - {None}
    if unknown:
        raise TableError(f"{name}.reason: not in the vocabulary: {sorted(unknown)}")
    ok = pc.equal(table["status"], Status.OK.value)
    if table.num_rows and not pc.all(pc.equal(ok, pc.is_null(table["reason"]))).as_py():
        raise TableError(f"{name}.reason: must be null for ok rows and set for all others")
    longest = pc.max(pc.utf8_length(table["detail"])).as_py() if table.num_rows else None
    if longest is not None and longest > MAX_DETAIL_CHARS:
        raise TableError(f"{name}.detail: at most {MAX_DETAIL_CHARS} characters, got {longest}")


def read_table(
    root: str | Path, name: str, columns: Sequence[str] | None = None, recipe: str | None = None
) -> pa.Table:
    """Read a table, one row per key: the highest attempt wins.

    Args:
        root: folder or fsspec URL of the dataset root.
        name: a table of `datasets.schemas.TABLES`.
        columns: only these; all when not given.
        recipe: only rows of this recipe; when not given, the current one (every recipe if none was recorded).

    Returns:
        The rows in the order of part names and rows within them; an empty table of the schema if there are no parts.
    """
    spec = TABLES[name]
    wanted = list(columns) if columns is not None else spec.schema.names
    needed = [*dict.fromkeys([*wanted, *spec.key, "attempt"])]
    has_all = columns is None and spec.has_facets
    recipe = recipe or current_recipe(root, name)
    fs = fsspec.core.url_to_fs(str(root))[0]

    def read_some(paths: list[str]) -> list[pa.Table]:
        return [read_part(fs, path, None if has_all else needed) for path in paths]

    def read_all(paths: list[str]) -> pa.Table:
        if not paths:
            return spec.schema.empty_table().select([column for column in needed if column in spec.schema.names])
        # A turn of several: with tens of thousands of parts, handing out each costs a tenth of reading it.
        size = 1 + len(paths) // _TURNS
        turns = [paths[start : start + size] for start in range(0, len(paths), size)]
        with ThreadPoolExecutor(min(len(turns), _PARTS_AT_ONCE)) as threads:
            return pa.concat_tables(chain.from_iterable(threads.map(read_some, turns)), promote_options="permissive")

    table = keep_highest_attempt(spec, read_parts(root, name, recipe, read_all))
    return complete_table(name, table, None if has_all else wanted)


def read_ok(root: str | Path, name: str, columns: Sequence[str]) -> pa.Table:
    """These columns of the rows that came out ok, of the table's current recipe."""
    return keep_ok(read_table(root, name, [*columns, "status"])).select(list(columns))


def keep_ok(rows: pa.Table) -> pa.Table:
    """Those of the rows, a table with the column status, that came out ok."""
    return rows.filter(pc.equal(rows["status"], Status.OK.value))


def read_parts(root: str | Path, name: str, recipe: str | None, read: Callable[[list[str]], T]) -> T:
    """What `read` makes of a table's parts; when one was merged away or taken down meanwhile, of those there are now.

    Args:
        root: folder or fsspec URL of the dataset root.
        name: a table of `datasets.schemas.TABLES`.
        recipe: only parts of this one; of all when None.
        read: called with the paths of `list_parts`, again with others after a FileNotFoundError.
    """
    for _ in range(_MOST_LISTINGS - 1):
        with suppress(FileNotFoundError):
            return read(list_parts(root, name, recipe))
    return read(list_parts(root, name, recipe))


def list_parts(root: str | Path, name: str, recipe: str | None = None) -> list[str]:
    """Paths of a table's parts, sorted; of all recipes when none is given.

    A listing takes a while, in which a compaction may write the part that it has not come to and delete those that it
    has: it is believed once a second one says the same.
    """
    fs, base = fsspec.core.url_to_fs(str(root))

    def list_once() -> list[str]:
        fs.invalidate_cache()  # other processes write parts, too
        folders = [join_path(base, name, recipe)] if recipe else list_folder(fs, join_path(base, name))
        return sorted(path for folder in folders for path in list_folder(fs, folder) if path.endswith(".parquet"))

    paths = list_once()
    while (again := list_once()) != paths:
        paths = again
    return paths


def current_recipe(root: str | Path, name: str) -> str | None:
    """The recipe whose rows a reader gets by default; None before the first recorded run."""
    run = read_run(root, name)
    return run["recipe"] if run else None


def read_run(root: str | Path, name: str) -> dict[str, Any] | None:
    """What `record_run` kept of the table's current recipe: configuration, code version, provenance."""
    run: dict[str, Any] | None = read_json(join_path(root, name, RUN_FILE))
    return run


def refuse_mixed(root: str | Path, names: Iterable[str]) -> None:
    """Refuse tables whose rows are of several recipes while none is current: nobody can tell which are meant.

    Raises:
        TableError: runs of different settings began to fill a table and none has ended, or parts computed otherwise.
    """
    for name in names:
        if current_recipe(root, name) is not None:
            continue
        recipes = {Path(path).parent.name for path in list_parts(root, name)}
        if len(recipes) > 1:
            told = f"{root}: the rows of {name} are of {len(recipes)} recipes, and no run over all of it has ended"
            raise TableError(f"{told}: let one end; all parts of a root need the same settings, engine and precision")


def record_run(root: str | Path, name: str, recipe: str, provenance: dict[str, Any]) -> None:
    """Make `recipe` current for the table and keep what made it; an unchanged recipe leaves the file as it is."""
    path = join_path(root, name, RUN_FILE)
    run = read_json(path)
    if run is None or run["recipe"] != recipe:
        write_json(path, {"recipe": recipe, **provenance})


def table_digest(root: str | Path, name: str, recipe: str | None = None) -> str:
    """Hash of a table's rows sorted by key, without volatile columns: equal runs have equal digests.

    Independent of how rows are spread over parts and of Parquet's encoding; nulls count, bytes under nulls do not.
    """
    table = read_table(root, name, recipe=recipe)
    for column in sorted(TABLES[name].once - {*table.column_names}):
        table = table.append_column(column, pa.nulls(table.num_rows, pa.string()))
    table = widen(table).combine_chunks()
    order = pc.sort_indices(table, [(key, "ascending") for key in TABLES[name].key])
    digest = hashlib.sha256()
    unused = {column for column in TABLES[name].later if table[column].null_count == table.num_rows}
    columns = sorted(column for column in table.column_names if column not in unused and not is_volatile(column))
    for start in range(0, table.num_rows, _DIGEST_ROWS):
        rows = narrow(table.take(order[start : start + _DIGEST_ROWS]))
        for column in columns:
            digest.update(column.encode())
            for chunk in array_bytes(rows[column].combine_chunks()):
                digest.update(chunk)
    return digest.hexdigest()
