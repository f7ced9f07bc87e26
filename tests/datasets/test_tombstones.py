"""What was taken down is known by its hash, once, and names nobody."""

from pathlib import Path

import pytest

from datasets.tables import read_table
from datasets.tombstones import add_tombstones, hash_id, is_tombstoned, read_tombstones


def test_a_tombstone_is_found_by_its_id_and_by_its_hash(tmp_path: Path) -> None:
    assert add_tombstones(tmp_path, "video", ["-abcdefgh_1"], "owner asked") == 1
    tombstones = read_tombstones(tmp_path)
    assert is_tombstoned(tombstones, "video", "-abcdefgh_1")
    assert is_tombstoned(tombstones, "video", hash_id("video", "-abcdefgh_1"))
    assert not is_tombstoned(tombstones, "video", "-ABCDEFGH_1")
    assert not is_tombstoned(tombstones, "channel", "-abcdefgh_1")
    assert not is_tombstoned(tombstones, "channel", None)


def test_no_file_names_the_id(tmp_path: Path) -> None:
    add_tombstones(tmp_path, "channel", ["UCkitchen"], "owner asked")
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        assert b"UCkitchen" not in path.read_bytes() and "UCkitchen" not in str(path)
    assert "UCkitchen" not in str(read_table(tmp_path, "tombstones").to_pylist())


def test_a_second_takedown_keeps_the_first_ones_reason(tmp_path: Path) -> None:
    add_tombstones(tmp_path, "video", ["one"], "owner asked")
    assert add_tombstones(tmp_path, "video", ["one", "two"], "a court asked") == 1
    whys = {row["hashed_id"]: row["why"] for row in read_table(tmp_path, "tombstones").to_pylist()}
    assert whys == {hash_id("video", "one"): "owner asked", hash_id("video", "two"): "a court asked"}


def test_a_reason_that_names_the_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without an id"):
        add_tombstones(tmp_path, "video", ["-abcdefgh_1"], "https://youtu.be/-abcdefgh_1 asked")
    assert read_tombstones(tmp_path) == frozenset()
