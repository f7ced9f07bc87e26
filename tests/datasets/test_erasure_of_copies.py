"""A video that is taken down leaves the tables of copies too, whichever of the two it was."""

from datasets.erasure import rewrite_tables
from datasets.outcomes import OK
from datasets.tables import make_table, read_table, write_part


def test_pairs_of_copies_go_with_either_of_the_two(tmp_path):
    pairs = [{"video_id": a, "copy_id": b, **OK} for a, b in (("gone", "x"), ("a", "gone"), ("a", "x"))]
    clips = {"clip_id": "c", "copy_clip_id": "d", "similarity": 0.9}
    write_part(tmp_path, "duplicates", make_table("duplicates", pairs, recipe="r", run_id="run"))
    alike = [{**pair, **clips} for pair in pairs]
    write_part(tmp_path, "content_duplicates", make_table("content_duplicates", alike, recipe="r", run_id="run"))
    rewrite_tables(tmp_path, {"gone"})
    for table in ("duplicates", "content_duplicates"):
        rows = read_table(tmp_path, table, ["video_id", "copy_id"]).to_pylist()
        assert [(row["video_id"], row["copy_id"]) for row in rows] == [("a", "x")]
