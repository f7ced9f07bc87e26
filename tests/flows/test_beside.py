"""Who reads a root while another tidies it up or takes something down sees all of it, at every moment."""

import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pyarrow.compute as pc
import pytest

from datasets.compaction import COMPACTED, compact_table
from datasets.erasure import rewrite_tables
from datasets.outcomes import OK
from datasets.releases.shards import read_features
from datasets.tables import list_parts, make_table, read_table, table_digest, write_part
from flows.config import Config
from flows.report.build import build_report
from flows.status import read_failures, read_funnel
from model.data import load_clips
from tests.small_tables import make_root, video_name

NUM_ROUNDS = 5


def scatter(root):
    """The same rows in a part a row, as many small batches leave them."""
    for name in ("clips", "media", "videos", "pooled", "log_mel", "features_2d", "features_3d"):
        old, table = list_parts(root, name), read_table(root, name)
        for row in range(table.num_rows):
            write_part(root, name, table.slice(row, 1))
        for path in set(old):
            Path(path).unlink()


@contextmanager
def meanwhile(work):
    """Do `work` again and again in another thread while the block runs; its first error is raised here."""
    ended, errors = threading.Event(), []

    def repeat():
        try:
            while not ended.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            errors.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def root(tmp_path):
    root = make_root(tmp_path / "root", clips_per_video=4)
    scatter(root)
    return root


def count_stages(root):
    read_failures(root)
    return read_funnel(root)["items"].to_list()


def read_release_rows(root):
    ids = read_table(root, "splits", ["clip_id"])["clip_id"]
    return [read_features(root, name, ids).num_rows for name in ("pooled", "log_mel")]


READERS = {
    "tables": lambda root: [table_digest(root, name) for name in ("clips", "pooled", "videos")],
    "status": count_stages,
    "publish": read_release_rows,
    "training": lambda root: [len(load_clips(root, split, ("2d", "3d"))) for split in ("train", "val", "test")],
}


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_beside_compaction_sees_every_row(root, reader):
    read = READERS[reader]
    seen, expected = Counter(), str(read(root))
    rounds = 0
    with meanwhile(lambda: seen.update([str(read(root))])):
        while rounds < NUM_ROUNDS:
            rounds += 1
            for name in COMPACTED:
                compact_table(root, name)
            scatter_one(root)
    assert set(seen) == {expected} and seen.total() > 2


def scatter_one(root):
    """Part by part, the new ones first, so that the root is whole at every moment."""
    for name in ("clips", "pooled", "videos", "media", "log_mel"):
        old, table = list_parts(root, name), read_table(root, name)
        new = {write_part(root, name, table.slice(row, 2)) for row in range(0, table.num_rows, 2)}
        for path in set(old) - new:
            Path(path).unlink()


def test_a_reader_beside_a_takedown_sees_all_that_stays(root):
    stays = {clip for clip in read_table(root, "clips")["clip_id"].to_pylist() if not clip.startswith(video_name(0))}
    whole = read_table(root, "clips")
    seen = []

    def read():
        seen.append(set(read_table(root, "clips")["clip_id"].to_pylist()))

    with meanwhile(read):
        for _ in range(NUM_ROUNDS):
            rewrite_tables(root, {video_name(0)})
            gone = whole.filter(pc.equal(whole["video_id"], video_name(0)))
            write_part(root, "clips", gone)
    assert len(seen) > 2 and all(stays <= found for found in seen)


@pytest.mark.slow
def test_a_report_beside_compaction_is_whole(root):
    write_part(root, "searches", make_table("searches", [{"query": "肉じゃが", **OK}], recipe="r", run_id=""))
    with meanwhile(lambda: build_report(Config(root=root))):
        for _ in range(NUM_ROUNDS):
            for name in COMPACTED:
                compact_table(root, name)
            scatter_one(root)
