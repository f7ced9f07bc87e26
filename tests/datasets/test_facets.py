"""Facets of queries: the list's own columns, beside parts and digests of before lists named their own."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.compaction import compact_table
from datasets.outcomes import OK
from datasets.queries import list_facets
from datasets.schemas import COMMON_COLUMNS
from datasets.tables import (
    TableError,
    list_parts,
    make_table,
    read_ok,
    read_table,
    table_digest,
    write_part,
)

COOKING = [
    {"query": "肉じゃが 作り方", "dish": "肉じゃが", "technique": "煮る", "num_results": 3, **OK},
    {"query": "ゴーヤー", "dish": "ゴーヤー", "region": "沖縄", "num_results": 1, **OK},
]
PLAIN = [{"query": "おでん", "num_results": 2, **OK}]
# As the version before wrote them.
DIGESTS = {
    "cooking": "25ee2b76cf3925ac0b65dcef19387d68d7131de18b00e8371d60c9013e6373cc",
    "plain": "206a13da460f8115cb1c8e97c8e50e39afc252182b3a70408db76b0e5f0cda22",
}
MADE = {"recipe": "r", "run_id": "x"}


def write_as_before(root, rows):
    """A part with the columns that every part had."""
    text = [pa.field(name, pa.string()) for name in ("query", "dish", "technique", "region")]
    own = [pa.field("num_results", pa.int32()), pa.field("searched_at", pa.timestamp("ms", tz="UTC"))]
    made = [{**row, **MADE, "attempt": 0} for row in rows]
    (root / "searches" / "r").mkdir(parents=True)
    table = pa.Table.from_pylist(made, schema=pa.schema([*text, *own, *COMMON_COLUMNS]))
    pq.write_table(table, root / "searches" / "r" / "old.parquet")


@pytest.mark.parametrize(("name", "rows"), [("cooking", COOKING), ("plain", PLAIN)])
def test_searches_have_the_digest_that_they_had(tmp_path, name, rows):
    write_as_before(tmp_path / "old", rows)
    write_part(tmp_path / "new", "searches", make_table("searches", rows, **MADE))
    assert table_digest(tmp_path / "old", "searches") == DIGESTS[name]
    assert table_digest(tmp_path / "new", "searches") == DIGESTS[name]


def test_an_old_root_goes_on_with_a_list_of_other_facets_and_is_compacted(tmp_path):
    write_as_before(tmp_path, COOKING)
    climbing = [{"query": "クライミング", "sport": "boulder", "num_results": 2, **OK}]
    write_part(tmp_path, "searches", make_table("searches", climbing, **MADE))
    before = table_digest(tmp_path, "searches")
    assert {*list_facets(tmp_path)} == {"dish", "technique", "region", "sport"}
    asked = read_ok(tmp_path, "searches", ["query", "sport", "dish"]).sort_by("query").to_pylist()
    assert [(row["sport"], row["dish"]) for row in asked] == [("boulder", None), (None, "ゴーヤー"), (None, "肉じゃが")]
    compact_table(tmp_path, "searches", 1 << 20)
    assert len(list_parts(tmp_path, "searches")) == 1 and table_digest(tmp_path, "searches") == before


def test_a_facet_that_no_query_has_is_null(tmp_path):
    write_part(tmp_path, "searches", make_table("searches", PLAIN, **MADE))
    assert read_table(tmp_path, "searches", ["query", "sport"]).to_pylist() == [{"query": "おでん", "sport": None}]
    assert list_facets(tmp_path) == []
    assert read_table(tmp_path / "empty", "searches", ["query", "sport"]).column_names == ["query", "sport"]


def test_a_facet_is_text(tmp_path):
    rows = make_table("searches", PLAIN, **MADE)
    with pytest.raises(TableError, match=r"searches\.level: type must be string"):
        write_part(tmp_path, "searches", rows.append_column("level", pa.array([1])))
