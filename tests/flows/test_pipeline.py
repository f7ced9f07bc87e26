"""The whole pipeline on a small channel: what comes out, what a second run does, what a changed setting touches."""

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from datasets.tables import list_parts, read_table, table_digest
from flows.config import Config
from flows.status import read_failures, read_funnel, read_notes, read_retrieval

FEATURE_TABLES = ("features_2d", "features_3d", "log_mel", "pooled")
WORKING_TABLES = (
    "searches", "discoveries", "videos", "media", "segmentations", "segments", "clips", "splits", *FEATURE_TABLES,
)  # fmt: skip


def stamps(root):
    """Modification time and size of every file."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in Path(root).rglob("*") if path.is_file()}


def items(root, stage):
    funnel = read_funnel(root)
    return int(funnel[funnel["stage"].str.strip() == stage]["items"].iloc[0])


def test_splits_have_exactly_the_asked_sizes(small_root, small_config):
    sizes = {split: items(small_root, f"{split} clips") for split in ("train", "val", "test")}
    assert sizes == small_config.splits.sizes


def test_no_video_is_in_two_splits(small_root):
    splits = read_table(small_root, "splits", ["video_id", "split"])
    assert (
        splits.group_by(["video_id", "split"]).aggregate([]).num_rows == pc.count_distinct(splits["video_id"]).as_py()
    )


def test_every_clip_of_the_splits_has_features(small_root, small_config):
    assert items(small_root, "clips with features") == sum(small_config.splits.sizes.values())


def test_clips_are_5_to_50_seconds(small_root):
    clips = read_table(small_root, "clips", ["start_ms", "end_ms", "status"])
    clips = clips.filter(pc.equal(clips["status"], "ok"))
    length = pc.subtract(clips["end_ms"], clips["start_ms"])
    assert pc.min(length).as_py() >= 5000 and pc.max(length).as_py() <= 50_000


def test_what_was_rejected_is_a_row_with_its_reason(small_root):
    failures = read_failures(small_root)
    reasons = {(row.table, row.reason) for row in failures.itertuples()}
    assert {("videos", "private"), ("videos", "removed"), ("videos", "video_too_short")} <= reasons
    assert {("videos", "wrong_language"), ("media", "no_audio"), ("clips", "no_speech")} <= reasons
    assert "unexpected" not in set(failures["reason"])


def test_every_discovered_video_is_decided(small_root):
    found = set(read_table(small_root, "discoveries", ["video_id"])["video_id"].to_pylist())
    decided = set(read_table(small_root, "videos", ["video_id"])["video_id"].to_pylist())
    assert found and found == decided


def test_retrieval_is_measured_in_both_directions_on_train_and_test(small_root):
    retrieval = read_retrieval(small_root)
    measured = set(zip(retrieval["split"], retrieval["direction"], strict=True))
    directions = ("video_clip_retrieval", "language_retrieval")
    assert measured == {(split, direction) for split in ("train", "test") for direction in directions}


def test_untrained_weights_are_said_in_words(small_root):
    assert any("UNTRAINED" in note for note in read_notes(small_root))


def test_rows_carry_recipe_and_attempt(small_root):
    for name in WORKING_TABLES:
        table = read_table(small_root, name, ["recipe", "attempt"])
        assert len(table["recipe"].unique()) == 1 and table["attempt"].unique().to_pylist() == [0], name


@pytest.mark.parametrize("name", WORKING_TABLES)
def test_tables_open_in_pandas_pyarrow_and_duckdb(small_root, name):
    num_rows = read_table(small_root, name).num_rows
    folder = f"{small_root}/{name}"
    assert len(pd.read_parquet(folder)) == num_rows
    assert pq.read_table(folder).num_rows == num_rows
    assert duckdb.sql(f"select count(*) from '{folder}/*/*.parquet'").fetchall() == [(num_rows,)]


def test_a_second_run_leaves_every_file_as_it_was(small_root, small_config):
    from flows.stages.pipeline import pipeline

    before = stamps(small_root)
    pipeline(small_config)
    assert stamps(small_root) == before


def test_a_changed_gap_recomputes_clips_and_what_follows_and_nothing_before(small_root, small_config):
    from flows.stages.curate import curate

    before = {name: table_digest(small_root, name) for name in WORKING_TABLES}
    parts = {name: list_parts(small_root, name) for name in WORKING_TABLES}
    clips = small_config.clips.model_copy(update={"bridge_gap_ms": 500})
    changed = small_config.model_copy(
        update={"clips": clips, "splits": small_config.splits.model_copy(update={"scale": True})}
    )
    try:
        curate(changed)
        for name in ("searches", "discoveries", "videos", "media", "segmentations", "segments"):
            assert list_parts(small_root, name) == parts[name], name
        for name in ("clips", "splits"):
            assert table_digest(small_root, name) != before[name], name
    finally:
        curate(small_config)
    assert {name: table_digest(small_root, name) for name in WORKING_TABLES} == before


def test_a_site_that_does_not_answer_is_a_reason_and_one_line(tmp_path, small_config, prefect_server, monkeypatch):
    from datasets.splits.draw import SplitError
    from flows.commands.demo import SITE_VARIABLE
    from flows.stages.curate import curate

    monkeypatch.setenv(SITE_VARIABLE, "http://127.0.0.1:9")
    config: Config = small_config.model_copy(update={"root": str(tmp_path)})
    with pytest.raises(SplitError):
        curate(config)
    searches = read_table(tmp_path, "searches", ["status", "reason"]).to_pylist()
    assert {(row["status"], row["reason"]) for row in searches} == {("failed", "network")}
