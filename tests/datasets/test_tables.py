"""Working tables: what goes in comes out whole, for every reader, and nothing else goes in."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets import parts
from datasets.attempts import keep_highest_attempt
from datasets.files import read_json, write_bytes, write_json
from datasets.outcomes import MAX_DETAIL_CHARS, OK, dropped, failed
from datasets.parts import parquet_bytes
from datasets.resuming import subtract
from datasets.schemas import SCHEMA_VERSION, TABLES, list_of_vectors
from datasets.tables import (
    TableError,
    add_common_columns,
    check_table,
    current_recipe,
    list_parts,
    make_table,
    read_table,
    record_run,
    table_digest,
    write_part,
)

CHECKOUT = Path(__file__).parents[2]


def clip_row(name, start=0, outcome=OK):
    times = {"start_ms": start, "end_ms": start + 5000, "speech_ms": 4000}
    return {"clip_id": f"{name}_{start:09d}", "video_id": name, **times, **outcome}


def clips_table(*rows, recipe="r", attempt=0, run_id="run"):
    return make_table("clips", rows, recipe=recipe, run_id=run_id, attempt=attempt)


def media_table(video_id, outcome, attempt=0, recipe="r"):
    return make_table("media", [{"video_id": video_id, **outcome}], recipe=recipe, run_id="run", attempt=attempt)


def feature_table(num_rows=5, num_dims=8, seed=0):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=(n + 1, num_dims)).astype(np.float16) for n in range(num_rows)]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(values).ravel()), num_dims)
    lengths = np.array([len(value) for value in values])
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    columns = {
        "clip_id": pa.array([f"c{n}" for n in range(num_rows)]),
        "video_id": pa.array(["v"] * num_rows),
        "values": pa.ListArray.from_arrays(offsets, flat),
        "row_start_ms": pa.array([list(range(n + 1)) for n in range(num_rows)], pa.list_(pa.int64())),
    }
    table = pa.table(columns)
    table = table.append_column(pa.field("status", pa.string(), False), pa.repeat("ok", num_rows))
    for name in ("reason", "detail"):
        table = table.append_column(name, pa.nulls(num_rows, pa.string()))
    return add_common_columns(table, recipe="r", run_id="run"), values


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


# What comes back


def test_rows_come_back_as_written(root):
    table = clips_table(clip_row("a"), clip_row("b", 7000, dropped("clip_too_long", "50001 ms")))
    write_part(root, "clips", table)
    assert read_table(root, "clips").to_pylist() == table.to_pylist()


def test_a_table_without_parts_is_empty_with_its_schema(root):
    assert read_table(root, "clips").schema == TABLES["clips"].schema
    assert read_table(root, "clips").num_rows == 0
    assert read_table(root, "clips", ["clip_id"]).column_names == ["clip_id"]


def test_an_empty_part_is_not_written(root):
    assert write_part(root, "clips", clips_table()) is None
    assert not root.exists()


def test_only_the_wanted_columns_come_back(root):
    write_part(root, "clips", clips_table(clip_row("a")))
    assert read_table(root, "clips", ["end_ms", "clip_id"]).column_names == ["end_ms", "clip_id"]


def test_absent_columns_become_null(root):
    write_part(root, "media", media_table("a", failed("removed")))
    assert read_table(root, "media", ["sha256", "fps"]).to_pylist() == [{"sha256": None, "fps": None}]


def test_times_keep_their_zone(root):
    now = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
    row = {"query": "肉じゃが 作り方", "num_results": 3, "searched_at": now, **OK}
    write_part(root, "searches", make_table("searches", [row], recipe="r", run_id="run"))
    assert read_table(root, "searches").to_pylist()[0]["searched_at"] == now


def test_every_table_can_be_written_and_read(root):
    for name, spec in TABLES.items():
        if any(column.type == pa.null() for column in spec.columns):
            continue
        key = {column: "k" if spec.schema.field(column).type == pa.string() else 1 for column in spec.key}
        table = make_table(name, [{**key, **OK}], recipe="r", run_id="run")
        write_part(root, name, table)
        assert read_table(root, name).num_rows == 1


# Parts


def test_doing_a_batch_again_replaces_its_part(root):
    first = write_part(root, "clips", clips_table(clip_row("a")), input_keys=["a"])
    second = write_part(root, "clips", clips_table(clip_row("a"), clip_row("a", 9000)), input_keys=["a"])
    assert first == second
    assert read_table(root, "clips").num_rows == 2


def test_the_order_of_input_keys_does_not_matter(root):
    table = clips_table(clip_row("a"), clip_row("b"))
    assert write_part(root, "clips", table, ["a", "b"]) == write_part(root, "clips", table, ["b", "a"])


def test_the_name_of_a_part_is_the_same_on_any_machine(root):
    path = write_part(root, "clips", clips_table(clip_row("a")), input_keys=["a", "b"])
    assert path == f"{root}/clips/r/8316c3c3ae0d6044a0e6.parquet"


def test_the_attempt_changes_the_part(root):
    write_part(root, "media", media_table("a", failed("network")))
    write_part(root, "media", media_table("a", OK, attempt=1))
    assert len(list_parts(root, "media")) == 2


def test_a_part_holds_one_recipe(root):
    table = pa.concat_tables([clips_table(clip_row("a")), clips_table(clip_row("b"), recipe="other")])
    with pytest.raises(TableError, match="one recipe"):
        write_part(root, "clips", table)


def test_a_part_names_its_table_and_schema_version(root):
    path = write_part(root, "clips", clips_table(clip_row("a")))
    metadata = pq.read_schema(path).metadata
    assert metadata[b"table"] == b"clips"
    assert metadata[b"schema_version"] == SCHEMA_VERSION.encode()


def test_row_groups_stay_small_and_without_dictionaries():
    vectors = np.random.default_rng(0).normal(size=(1000, 2048)).astype(np.float32)
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 2048)
    data = parquet_bytes(pa.table({"values": values, "clip_id": [str(n) for n in range(1000)]}))
    metadata = pq.ParquetFile(pa.BufferReader(data)).metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    assert all(group.total_byte_size <= 3 << 20 for group in groups)
    assert all("DICTIONARY" not in str(group.column(1).encodings) for group in groups)


def test_equal_tables_give_equal_bytes():
    assert parquet_bytes(feature_table()[0]) == parquet_bytes(feature_table()[0])


# Attempts and recipes


def test_the_highest_attempt_wins(root):
    write_part(root, "media", media_table("a", failed("network")))
    write_part(root, "media", media_table("a", failed("rate_limited"), attempt=2))
    write_part(root, "media", media_table("a", OK, attempt=1))
    write_part(root, "media", media_table("b", OK))
    found = {row["video_id"]: (row["attempt"], row["reason"]) for row in read_table(root, "media").to_pylist()}
    assert found == {"a": (2, "rate_limited"), "b": (0, None)}


def test_the_highest_attempt_wins_for_keys_of_two_columns(root):
    for attempt, label in enumerate(["music", "speech"]):
        rows = [{"video_id": "a", "start_ms": start, "end_ms": start + 9, "label": label, **OK} for start in (0, 9)]
        write_part(root, "segments", make_table("segments", rows, recipe="r", run_id="x", attempt=attempt))
    found = read_table(root, "segments").sort_by("start_ms").to_pylist()
    assert [(row["start_ms"], row["label"]) for row in found] == [(0, "speech"), (9, "speech")]


def test_the_current_recipe_is_what_readers_get(root):
    write_part(root, "clips", clips_table(clip_row("old"), recipe="r1"))
    write_part(root, "clips", clips_table(clip_row("new"), recipe="r2"))
    assert read_table(root, "clips").num_rows == 2
    record_run(root, "clips", "r2", {"settings": {}})
    assert current_recipe(root, "clips") == "r2"
    assert read_table(root, "clips")["video_id"].to_pylist() == ["new"]
    assert read_table(root, "clips", recipe="r1")["video_id"].to_pylist() == ["old"]


def test_recording_the_same_recipe_again_leaves_the_file(root):
    record_run(root, "clips", "r", {"code_version": "1"})
    record_run(root, "clips", "r", {"code_version": "2"})
    assert read_json(root / "clips" / "_run.json") == {"recipe": "r", "code_version": "1"}


# What is left to do


def test_subtract_gives_what_is_new_and_what_to_do_again(root):
    write_part(root, "media", media_table("done", OK))
    write_part(root, "media", media_table("gone", failed("removed")))
    write_part(root, "media", media_table("slow", failed("network"), attempt=3))
    keys = pa.table({"video_id": ["done", "gone", "slow", "new"], "title": ["d", "g", "s", "n"]})
    new, again = subtract(keys, root, "media", "r", again=["network", "rate_limited"])
    assert new.to_pylist() == [{"video_id": "new", "title": "n"}]
    assert again.to_pylist() == [{"video_id": "slow", "title": "s", "attempt": 4}]


def test_subtract_counts_only_the_last_attempt(root):
    write_part(root, "media", media_table("a", failed("network")))
    write_part(root, "media", media_table("a", OK, attempt=1))
    new, again = subtract(pa.table({"video_id": ["a"]}), root, "media", "r", again=["network"])
    assert (new.num_rows, again.num_rows) == (0, 0)


def test_subtract_does_not_count_other_recipes(root):
    write_part(root, "media", media_table("a", OK, recipe="old"))
    new, _ = subtract(pa.table({"video_id": ["a"]}), root, "media", "r")
    assert new.num_rows == 1


def test_subtract_from_an_empty_root_leaves_all(root):
    new, again = subtract(pa.table({"video_id": ["a", "b"]}), root, "media", "r", again=["network"])
    assert (new.num_rows, again.num_rows) == (2, 0)


# What a table must not hold


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"status": "ok", "reason": "no_speech"}, "must be null for ok"),
        ({"status": "dropped", "reason": None}, "set for all others"),
        ({"status": "dropped", "reason": "removed"}, "not in the vocabulary"),
        ({"status": "done", "reason": None}, "unknown"),
        ({"status": "ok", "reason": None, "detail": "x" * (MAX_DETAIL_CHARS + 1)}, "at most 500"),
        ({"status": "ok", "reason": None, "clip_id": None}, "clip_id: must not be null"),
    ],
)
def test_a_row_outside_the_vocabulary_is_refused(root, row, message):
    with pytest.raises(TableError, match=message):
        write_part(root, "clips", clips_table({**clip_row("a"), **row}))
    assert list_parts(root, "clips") == []


def test_a_reason_of_another_table_is_refused(root):
    with pytest.raises(TableError, match=r"media\.reason: not in the vocabulary: \['no_speech'\]"):
        write_part(root, "media", media_table("a", dropped("no_speech")))


def test_absent_and_extra_columns_are_refused():
    table = clips_table(clip_row("a"))
    with pytest.raises(TableError, match="columns must be"):
        check_table("clips", table.drop_columns("speech_ms"))
    with pytest.raises(TableError, match="columns must be"):
        check_table("clips", table.append_column("colour", pa.array(["red"])))


def test_a_column_of_another_type_is_refused():
    table = clips_table(clip_row("a"))
    index = table.column_names.index("start_ms")
    with pytest.raises(TableError, match=r"clips\.start_ms: type must be int64, got double"):
        check_table("clips", table.set_column(index, "start_ms", pa.array([0.5])))


# Digests


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.text(max_size=5), st.integers(0, 10**9), st.sampled_from([None, "no_speech"])),
        min_size=1,
        max_size=25,
        unique_by=lambda row: row[0],
    ),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_the_digest_does_not_depend_on_parts_or_order(rows, num_parts, rng):
    rows = [clip_row(name, start, dropped(reason) if reason else OK) for name, start, reason in rows]
    fsspec.filesystem("memory").store.clear()
    whole, apart = "memory://whole", "memory://apart"
    write_part(whole, "clips", clips_table(*rows))
    rng.shuffle(rows)
    for part in range(num_parts):
        write_part(apart, "clips", clips_table(*rows[part::num_parts], run_id=f"run{part}"))
    assert table_digest(whole, "clips") == table_digest(apart, "clips")


def test_the_digest_of_vectors_does_not_depend_on_parts(tmp_path):
    table, _ = feature_table(9)
    write_part(tmp_path / "whole", "features_2d", table)
    for start in (6, 0, 3):
        write_part(tmp_path / "apart", "features_2d", table.slice(start, 3))
    assert table_digest(tmp_path / "whole", "features_2d") == table_digest(tmp_path / "apart", "features_2d")


def test_the_digest_leaves_volatile_columns_out(tmp_path):
    outcomes = failed("network", "reset by peer"), failed("network", "timed out")
    for attempt, outcome in enumerate(outcomes):
        row = {"video_id": "a", "fetched_at": datetime.fromtimestamp(attempt, UTC), **outcome}
        table = make_table("media", [row], recipe="r", run_id=f"run{attempt}", attempt=attempt)
        write_part(tmp_path / str(attempt), "media", table)
    assert table_digest(tmp_path / "0", "media") == table_digest(tmp_path / "1", "media")


@pytest.mark.parametrize("change", [{"end_ms": 5001}, {"end_ms": None}, {"video_id": "b"}, dropped("no_speech")])
def test_the_digest_sees_each_other_column(tmp_path, change):
    write_part(tmp_path / "0", "clips", clips_table(clip_row("a")))
    write_part(tmp_path / "1", "clips", clips_table({**clip_row("a"), **change}))
    assert table_digest(tmp_path / "0", "clips") != table_digest(tmp_path / "1", "clips")


def test_the_digest_sees_one_value_of_one_vector(tmp_path):
    write_part(tmp_path / "0", "features_2d", feature_table()[0])
    table, values = feature_table()
    flat = np.concatenate(values).ravel()
    flat[7] = 1
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat), 8)
    changed = pa.ListArray.from_arrays(table["values"].combine_chunks().offsets, vectors)
    write_part(tmp_path / "1", "features_2d", table.set_column(2, "values", changed))
    assert table_digest(tmp_path / "0", "features_2d") != table_digest(tmp_path / "1", "features_2d")


def test_the_digest_tells_where_strings_end(tmp_path):
    for name, texts in {"0": ("ab", "c"), "1": ("a", "bc")}.items():
        rows = [{"video_id": str(n), "title": text, **OK} for n, text in enumerate(texts)]
        write_part(tmp_path / name, "videos", make_table("videos", rows, recipe="r", run_id="run"))
    assert table_digest(tmp_path / "0", "videos") != table_digest(tmp_path / "1", "videos")


def test_more_rows_than_one_step_of_the_digest(tmp_path):
    rows = [clip_row(f"v{n:05d}") for n in range(9000)]
    write_part(tmp_path / "0", "clips", clips_table(*rows))
    random.Random(0).shuffle(rows)
    write_part(tmp_path / "1", "clips", clips_table(*rows[:10]))
    write_part(tmp_path / "1", "clips", clips_table(*rows[10:]))
    assert table_digest(tmp_path / "0", "clips") == table_digest(tmp_path / "1", "clips")


# Other readers


def test_vectors_come_back_bit_for_bit(root):
    table, values = feature_table()
    write_part(root, "features_2d", table)
    back = read_table(root, "features_2d")["values"]
    assert back.type == list_of_vectors(8, pa.float16())
    for index, expected in enumerate(values):
        row = back[index].values
        assert np.array_equal(row.flatten().to_numpy(zero_copy_only=False).reshape(-1, 8), expected)


def test_pandas_pyarrow_and_duckdb_read_a_table(root):
    write_part(root, "clips", clips_table(clip_row("a"), clip_row("b")))
    write_part(root, "clips", clips_table(clip_row("c")))
    record_run(root, "clips", "r", {})
    assert sorted(pd.read_parquet(root / "clips")["video_id"]) == ["a", "b", "c"]
    assert pyarrow.dataset.dataset(root / "clips").count_rows() == 3
    found = duckdb.sql(f"select video_id, end_ms - start_ms from '{root}/clips/*/*.parquet' order by all").fetchall()
    assert found == [("a", 5000), ("b", 5000), ("c", 5000)]


def test_pandas_and_duckdb_read_vectors(root):
    table, values = feature_table()
    path = write_part(root, "features_2d", table)
    frame = pd.read_parquet(path)
    assert np.array_equal(np.stack(frame["values"][2]), values[2])
    found = duckdb.sql(f"select values[2][3] from '{path}' where clip_id = 'c4'").fetchall()
    assert found == [(pytest.approx(float(values[4][1, 2])),)]


# Roots


def test_a_root_in_memory_works_like_a_folder():
    root = "memory://bucket/root"
    fsspec.filesystem("memory").store.clear()
    write_part(root, "clips", clips_table(clip_row("a")))
    record_run(root, "clips", "r", {})
    assert read_table(root, "clips")["video_id"].to_pylist() == ["a"]
    assert current_recipe(root, "clips") == "r"
    assert read_json(f"{root}/absent.json") is None


@pytest.mark.parametrize("name", ["with space", "日本", "a[1]", "star*", "what?", "-dash", "per%20cent", "a#b"])
def test_a_root_may_have_any_name(tmp_path, name):
    write_part(tmp_path / name, "clips", clips_table(clip_row("a")))
    assert read_table(tmp_path / name, "clips").num_rows == 1


def test_a_star_in_a_root_matches_no_other_root(tmp_path):
    write_part(tmp_path / "star*", "clips", clips_table(clip_row("a")))
    write_part(tmp_path / "starfish", "clips", clips_table(clip_row("b")))
    assert read_table(tmp_path / "star*", "clips")["video_id"].to_pylist() == ["a"]


def test_a_relative_root_and_a_trailing_slash_are_the_same_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_part("data/", "clips", clips_table(clip_row("a")))
    assert read_table(tmp_path / "data", "clips").num_rows == 1
    assert list_parts("data", "clips") == list_parts(f"{tmp_path}/data/", "clips")


# Whole or not at all

WRITE_FOR_EVER = """
import sys
from tests_rows import big_table
from datasets.tables import write_part
for run in range(10**9):
    write_part(sys.argv[1], "clips", big_table(run), input_keys=["a"])
    print(run, flush=True)
"""

BIG_TABLE = """
from datasets.outcomes import OK
from datasets.tables import make_table
rows = [{"clip_id": f"c{n:06d}", "video_id": f"v{n * 7919 % 100003}", "start_ms": n, **OK} for n in range(20000)]
def big_table(run):
    return make_table("clips", rows, recipe="r", run_id=f"run{run}")
"""


def test_a_killed_writer_leaves_a_whole_part(tmp_path):
    (tmp_path / "tests_rows.py").write_text(BIG_TABLE)
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}:{tmp_path}"}
    rng = random.Random(0)
    for _ in range(4):
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path / "root")]
        with subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.random() * 0.3)
            process.send_signal(signal.SIGKILL)
        parts = list_parts(tmp_path / "root", "clips")
        assert len(parts) == 1
        table = read_table(tmp_path / "root", "clips")
        assert table.num_rows == 20_000
        assert len(table["run_id"].unique()) == 1
        assert pyarrow.dataset.dataset(tmp_path / "root" / "clips").count_rows() == 20_000


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    write_bytes(tmp_path / "file", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_comes_back(tmp_path):
    value = {"名": "肉じゃが", "numbers": [1, 2.5, None]}
    write_json(tmp_path / "a" / "b.json", value)
    assert read_json(tmp_path / "a" / "b.json") == value
    assert "肉じゃが" in (tmp_path / "a" / "b.json").read_text()


def test_a_later_column_is_null_in_older_parts_and_changes_no_digest_until_it_is_used(tmp_path):
    row = {"video_id": "a", "media_path": "x.mp4", **OK}
    table = make_table("media", [row], recipe="r", run_id="1")
    write_part(tmp_path, "media", table.drop_columns("audio_track"))
    assert read_table(tmp_path, "media", ["audio_track"]).to_pylist() == [{"audio_track": None}]
    before = table_digest(tmp_path, "media")
    path = Path(list_parts(tmp_path, "media")[0])
    pq.write_table(pq.read_table(path).drop_columns("audio_track"), path)
    assert read_table(tmp_path, "media").column_names == table.column_names
    assert table_digest(tmp_path, "media") == before
    write_part(tmp_path, "media", make_table("media", [{**row, "audio_track": 2}], recipe="r", run_id="1"))
    assert table_digest(tmp_path, "media") != before


def test_what_lies_beside_the_parts_is_no_part(root):
    part = Path(write_part(root, "clips", clips_table(clip_row("a"))))
    for stray in (part.parent / "notes.txt", part.parents[1] / "stray.parquet", part.parents[1] / "_counts.json"):
        stray.write_bytes(part.read_bytes())
    (part.parent / "deeper").mkdir()
    (part.parent / "deeper" / "b.parquet").write_bytes(part.read_bytes())
    assert list_parts(root, "clips") == [str(part)]


@given(
    st.lists(st.tuples(st.text("ab\0é", max_size=9), st.integers(-1, 1), st.integers(0, 2), st.integers(0, 9))),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_of_each_key_the_first_row_of_its_highest_attempt_is_kept(rows, num_chunks):
    columns = ("video_id", "start_ms", "attempt", "end_ms")
    table = pa.table([*zip(*rows, strict=True)] or [[]] * 4, columns)
    types = pa.schema(
        [("video_id", pa.string()), ("start_ms", pa.int64()), ("attempt", pa.int32()), ("end_ms", pa.int64())]
    )
    size = 1 + len(rows) // num_chunks
    table = pa.concat_tables(table.cast(types).slice(start, size) for start in range(0, max(1, len(rows)), size))
    best = {}
    for row in table.to_pylist():
        if row["attempt"] > best.get((row["video_id"], row["start_ms"]), {"attempt": -1})["attempt"]:
            best[row["video_id"], row["start_ms"]] = row
    found = keep_highest_attempt(TABLES["segments"], table).to_pylist()
    assert sorted(found, key=str) == sorted(best.values(), key=str)


def test_what_arrows_threads_may_hold_to_the_end_of_a_process_is_no_file_of_python(monkeypatch, tmp_path):
    opened, read = [], pq.ParquetFile
    monkeypatch.setattr(parts.pq, "ParquetFile", lambda source: opened.append(source) or read(source))
    monkeypatch.setattr(parts, "_READ_WHOLE_BYTES", 0)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"number": [1, 2]}), path)
    with parts.open_parquet(str(path)) as file:
        opened.append(file)
    assert parts.read_part(fsspec.filesystem("file"), str(path))["number"].to_pylist() == [1, 2]
    assert [type(source) for source in opened] == [pa.OSFile, pa.OSFile]


def test_a_shard_that_is_not_there_is_told_by_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error, parts.open_parquet(str(tmp_path / "a.parquet")):
        pass
    assert error.value.filename == str(tmp_path / "a.parquet")
