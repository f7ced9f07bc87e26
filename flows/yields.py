"""What each facet of the queries brought: videos, media and clips by dish, technique or region."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from datasets.outcomes import Status
from datasets.queries import Facet
from datasets.tables import read_table

STAGES = ("queries", "videos found", "videos selected", "videos downloaded", "clips")


def read_yields(root: str, facet: Facet) -> pd.DataFrame:
    """Queries and what they brought, one row a value of the facet, most clips first.

    A video that queries of several values found counts for each of them, and once for each: columns may add up to more
    than the funnel shows. Queries without the facet make up the row whose value is empty.
    """
    searches = read_table(root, "searches", ["query", facet, "status"])
    searches = searches.filter(pc.equal(searches["status"], Status.OK.value)).drop_columns("status")
    searches = searches.set_column(1, "value", pc.fill_null(searches[facet], ""))
    found = read_table(root, "discoveries", ["query", "video_id"]).join(searches, keys="query", join_type="inner")
    found = found.group_by(["value", "video_id"]).aggregate([])
    clips = _ok(root, "clips", "clip_id", "video_id").group_by("video_id").aggregate([("clip_id", "count")])
    counts = [
        searches.group_by("value").aggregate([([], "count_all")]),
        _count(found),
        _count(_keep_known(found, _ok(root, "videos", "video_id"))),
        _count(_keep_known(found, _ok(root, "media", "video_id"))),
        found.join(clips, keys="video_id", join_type="inner").group_by("value").aggregate([("clip_id_count", "sum")]),
    ]
    frame = pd.DataFrame({"value": pd.Series(dtype="str")})
    for stage, table in zip(STAGES, counts, strict=True):
        frame = frame.merge(table.rename_columns(["value", stage]).to_pandas(), on="value", how="outer")
    frame = frame.fillna(dict.fromkeys(STAGES, 0)).astype(dict.fromkeys(STAGES, "int64"))
    order = [*reversed(STAGES), "value"]
    frame = frame.sort_values(order, ascending=[*([False] * len(STAGES)), True], ignore_index=True)
    return frame.rename(columns={"value": facet})


def _ok(root: str, name: str, *columns: str) -> pa.Table:
    table = read_table(root, name, [*columns, "status"])
    return table.filter(pc.equal(table["status"], Status.OK.value)).drop_columns("status")


def _keep_known(found: pa.Table, known: pa.Table) -> pa.Table:
    return found.filter(pc.is_in(found["video_id"], known["video_id"].combine_chunks()))


def _count(found: pa.Table) -> pa.Table:
    return found.group_by("value").aggregate([([], "count_all")])
