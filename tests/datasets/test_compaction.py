"""Small parts become few, and no reader can tell."""

import json
from itertools import count

import pytest

from datasets.compaction import COMPACTED, JOURNAL, compact_table
from datasets.erasure import rewrite_tables
from datasets.outcomes import OK, failed
from datasets.resuming import subtract
from datasets.tables import list_parts, make_table, read_table, table_digest, write_part
from tests.kill_at_writes import kill_at_each_write
from tests.small_tables import make_root


def write_clips(root, first, recipe="r", attempt=0, outcome=OK):
    rows = [{"clip_id": f"c{i:03d}", "video_id": "v", "start_ms": i, "end_ms": i + 1} for i in range(first, first + 3)]
    write_part(
        root, "clips", make_table("clips", [{**r, **outcome} for r in rows], recipe=recipe, run_id="", attempt=attempt)
    )


@pytest.fixture
def root(tmp_path):
    for first in range(0, 30, 3):
        write_clips(tmp_path, first)
    return tmp_path


def test_small_parts_are_merged_and_the_digest_stays(root):
    before = table_digest(root, "clips")
    assert compact_table(root, "clips") == (10, 1)
    assert table_digest(root, "clips") == before
    assert compact_table(root, "clips") == (1, 1)


def test_recipes_stay_apart(root):
    write_clips(root, 0, recipe="other")
    write_clips(root, 3, recipe="other")
    digests = [table_digest(root, "clips", recipe) for recipe in ("r", "other")]
    assert compact_table(root, "clips") == (12, 2)
    assert [table_digest(root, "clips", recipe) for recipe in ("r", "other")] == digests


def test_the_highest_attempt_is_what_stays(tmp_path):
    write_clips(tmp_path, 0, outcome=failed("video_gone"))
    write_clips(tmp_path, 0, attempt=1)
    compact_table(tmp_path, "clips")
    assert read_table(tmp_path, "clips", ["status", "attempt"]).to_pylist() == [{"status": "ok", "attempt": 1}] * 3


def test_nothing_is_left_to_do_afterwards_that_was_done_before(root):
    compact_table(root, "clips")
    new, again = subtract(read_table(root, "clips", ["clip_id"]), root, "clips", "r")
    assert new.num_rows == again.num_rows == 0


def test_parts_of_the_target_size_are_left_alone(root):
    size = min(p.stat().st_size for p in (root / "clips" / "r").iterdir())
    assert compact_table(root, "clips", target_bytes=size)[1] == 10


def test_features_keep_their_digests(tmp_path):
    for seed in (1, 2):
        make_root(tmp_path, clips_per_video=seed, seed=1)
    for name in COMPACTED:
        before = table_digest(tmp_path, name)
        compact_table(tmp_path, name)
        assert table_digest(tmp_path, name) == before, name


def whole_batch_retried(root):
    write_clips(root, 0, outcome=failed("video_gone"))
    write_clips(root, 0, attempt=1)


def some_of_a_batch_retried(root):
    write_clips(root, 0, outcome=failed("video_gone"))
    write_clips(root, 3)
    write_clips(root, 0, attempt=1)


def several_recipes(root):
    for recipe in ("r", "other"):
        for first in (0, 3, 6):
            write_clips(root, first, recipe=recipe)


@pytest.mark.parametrize("fill", [whole_batch_retried, some_of_a_batch_retried, several_recipes])
def test_killed_at_any_write_the_table_reads_the_same_and_the_next_run_ends_it(fill, tmp_path):
    numbers = count()

    def prepare():
        root = tmp_path / f"{next(numbers)}"
        fill(root)
        return root

    def read(root):
        return {recipe: table_digest(root, "clips", recipe) for recipe in ("r", "other")}

    before, num_recipes, points = read(prepare()), 2 if fill is several_recipes else 1, []
    for point, root in kill_at_each_write(prepare, lambda root: compact_table(root, "clips")):
        points.append(point)
        assert read(root) == before, point
        compact_table(root, "clips")
        assert read(root) == before, point
        assert len(list_parts(root, "clips")) == num_recipes and not (root / "clips" / JOURNAL).exists()
    assert len(points) >= 4 + 2, "a journal and a part are a file and a name each, and two old parts are deleted"


def test_killed_twice_nothing_is_lost(tmp_path):
    numbers = count()

    def prepare_killed_at(point):
        def prepare():
            root = tmp_path / f"{next(numbers)}"
            whole_batch_retried(root)
            killed = kill_at_each_write(lambda: root, lambda root: compact_table(root, "clips"), first=point)
            return next(killed, (0, root))[1]

        return prepare

    for first in range(1, 9):
        for _, root in kill_at_each_write(prepare_killed_at(first), lambda root: compact_table(root, "clips")):
            assert read_table(root, "clips").num_rows == 3
            compact_table(root, "clips")
            assert read_table(root, "clips", ["attempt"])["attempt"].to_pylist() == [1, 1, 1]


def test_a_takedown_between_a_kill_and_the_next_compaction_loses_nothing(tmp_path):
    numbers = count()

    def prepare():
        root = tmp_path / f"{next(numbers)}"
        for video in ("v", "gone"):
            rows = [{"clip_id": f"{video}{i}", "video_id": video, "start_ms": i, "end_ms": i + 1} for i in range(3)]
            for row in rows:
                write_part(root, "clips", make_table("clips", [{**row, **OK}], recipe="r", run_id=""))
        return root

    for point, root in kill_at_each_write(prepare, lambda root: compact_table(root, "clips")):
        rewrite_tables(root, {"gone"})
        compact_table(root, "clips")
        assert sorted(read_table(root, "clips")["clip_id"].to_pylist()) == ["v0", "v1", "v2"], point


def test_a_journal_of_an_earlier_version_deletes_nothing(tmp_path):
    whole_batch_retried(tmp_path)
    parts = list_parts(tmp_path, "clips")
    (tmp_path / "clips" / JOURNAL).write_text(json.dumps({"old": [*parts, f"{tmp_path}/clips/r/gone.parquet"]}))
    compact_table(tmp_path, "clips")
    assert read_table(tmp_path, "clips").num_rows == 3 and len(list_parts(tmp_path, "clips")) == 1


def test_a_table_whose_parts_are_no_batches_is_refused(root):
    with pytest.raises(ValueError, match="requests"):
        compact_table(root, "requests")
