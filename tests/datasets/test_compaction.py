"""Small parts become few, and no reader can tell."""

import pytest

import datasets.compaction as compaction
from datasets.compaction import COMPACTED, JOURNAL, compact_table
from datasets.outcomes import OK, failed
from datasets.tables import list_parts, make_table, read_table, subtract, table_digest, write_part
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


@pytest.mark.parametrize("point", range(14))
def test_killed_at_any_step_the_table_reads_the_same_and_the_next_run_ends_it(root, point, monkeypatch):
    """Steps: the journal, the new part, each deletion, the journal's."""
    before, steps = table_digest(root, "clips"), []

    def dying(step):
        def run(*args, **kwargs):
            steps.append(step)
            if len(steps) > point:
                raise KeyboardInterrupt
            return step(*args, **kwargs)

        return run

    from fsspec.implementations.local import LocalFileSystem

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(compaction, "write_json", dying(compaction.write_json))
        patch.setattr(compaction, "write_part", dying(compaction.write_part))
        patch.setattr(LocalFileSystem, "rm_file", dying(LocalFileSystem.rm_file))
        compact_table(root, "clips")
        raise KeyboardInterrupt  # killed after everything was done
    assert table_digest(root, "clips") == before
    compact_table(root, "clips")
    assert len(list_parts(root, "clips")) == 1 and not (root / "clips" / JOURNAL).exists()
    assert table_digest(root, "clips") == before and read_table(root, "clips").num_rows == 30


def test_a_table_whose_parts_are_no_batches_is_refused(root):
    with pytest.raises(ValueError, match="requests"):
        compact_table(root, "requests")
