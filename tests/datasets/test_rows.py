from pathlib import Path

import pytest

from datasets.rows import RowReader
from datasets.tables import add_common_columns, write_part
from tests.datasets.test_other_readers import make_rows


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for start, lengths in ((0, [3, None, 200, 1]), (10, [None, 7])):
        rows = add_common_columns(make_rows(lengths, "features_2d", start), recipe="r", run_id="x")
        write_part(tmp_path, "features_2d", rows)
    return tmp_path


def test_a_row_is_found_by_its_key(root: Path) -> None:
    with RowReader(root, "features_2d") as rows:
        assert len(rows) == 6
        assert [len(rows.read(f"v_{n:09d}_000009000")["values"][0]) for n in (0, 2, 3, 11)] == [3, 200, 1, 7]
        assert rows.read("v_000000010_000009000", ["reason"]).to_pylist() == [{"reason": "decode_failed"}]


def test_the_highest_attempt_of_a_row_wins(root: Path) -> None:
    again = add_common_columns(make_rows([5], "features_2d", 1), recipe="r", run_id="y", attempt=1)
    write_part(root, "features_2d", again)
    with RowReader(root, "features_2d") as rows:
        assert len(rows.read("v_000000001_000009000")["values"][0]) == 5


def test_a_row_that_is_not_there_is_told_by_key(root: Path) -> None:
    with RowReader(root, "features_2d") as rows, pytest.raises(KeyError, match="no row 'nobody'"):
        rows.read("nobody")


def test_a_table_without_parts_has_no_rows(tmp_path: Path) -> None:
    assert len(RowReader(tmp_path, "log_mel")) == 0


def test_a_key_of_several_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="several columns"):
        RowReader(tmp_path, "segments")
