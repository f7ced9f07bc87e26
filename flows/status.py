"""The state of a root as tables that people look at: the funnel, and failures by reason."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from rich.markup import escape
from rich.table import Table

from datasets.counts import count_drawn, count_found, count_ok, count_rows
from datasets.outcomes import GONE_REASONS, Policy, Status
from datasets.outside_text import one_line
from datasets.queries import YIELDS
from datasets.schemas import TABLES
from datasets.suggestions import did_you_mean
from datasets.tables import list_parts, read_ok, read_run, read_table
from datasets.wording import format_number
from flows.config import ConfigError
from model.ranks import ARROWS, RECALL_AT

_MS_PER_MINUTE = 60_000
_MOST_NAMED = 5


def read_funnel(root: str) -> pd.DataFrame:
    """How many items, and minutes where they have a length, came out of each stage; one row a stage."""
    tables = ("searches", "videos", "media", "segmentations", "clips", "pooled")
    searches, videos, media, segmented, clips, pooled = (count_ok(root, name) for name in tables)
    permitted = count_ok(root, "permissions")["is_permitted"]
    drawn = {row["split"]: row for row in count_drawn(root)}
    rows: list[tuple[str, Any, float | None]] = [
        ("queries searched", searches["items"], None),
        ("videos found", count_found(root), None),
        *([("videos with permission", permitted, None)] if list_parts(root, "permissions") else []),
        ("videos selected", videos["items"], videos["duration_ms"]),
        ("videos downloaded", media["items"], media["duration_ms"]),
        ("videos segmented (speech)", segmented["items"], segmented["speech_ms"]),
        ("clips", clips["items"], clips["end_ms"] - clips["start_ms"]),
    ]
    for split in ("train", "val", "test"):
        row = drawn.get(split, {"items": 0, "ms": 0})
        rows.append((f"{split} clips", row["items"], float(row["ms"] or 0)))
    if list_parts(root, "pairs"):
        rows.append(("pairs of image and caption", count_ok(root, "pairs")["items"], None))
    rows.append(("clips with features", pooled["items"], None))
    funnel = pd.DataFrame(rows, columns=["stage", "items", "minutes"]).astype({"items": "int64", "minutes": "float64"})
    return funnel.assign(minutes=funnel["minutes"] / _MS_PER_MINUTE)


def read_failures(root: str) -> pd.DataFrame:
    """Rows that are not ok, counted by table, status and reason, with what the reason means for the next run."""
    failures = [
        (name, row["status"], row["reason"], row["items"], spec.reasons[str(row["reason"])].value)
        for name, spec in TABLES.items()
        for row in count_rows(root, name)
        if row["status"] != Status.OK.value
    ]
    frame = pd.DataFrame(failures, columns=["table", "status", "reason", "items", "again"])
    return frame.sort_values(["table", "items", "reason"], ascending=[True, False, True])


def read_notes(root: str) -> list[str]:
    """What a reader of the figures must know, in words."""
    notes = []
    for table in ("features_2d", "features_3d", "features_sound"):
        encoder = (read_run(root, table) or {}).get("encoder")
        if encoder and not encoder["trained"]:
            notes.append(
                f"{table}: {encoder['name']} ran with deterministic UNTRAINED weights, because no trained ones were "
                "named: these features carry no learned knowledge; figures that use them prove the path, not quality"
            )
    found = read_table(root, "regenerations", ["video_id", "is_same_media"])
    changed = sorted(found.filter(pc.equal(found["is_same_media"], False))["video_id"].to_pylist())
    if changed:
        named = ", ".join(changed[:_MOST_NAMED]) + (" ..." if len(changed) > _MOST_NAMED else "")
        words = "are not the media that the list was made from: they were encoded anew since"
        notes.append(f"regenerations: {len(changed)} of {found.num_rows} videos {words}: {named}")
    return notes


def read_pauses(root: str, now: datetime) -> list[str]:
    """Which sources asked us to stop, and until when nothing is asked."""
    newest = {row["source"]: row for row in read_table(root, "requests").sort_by("day").to_pylist()}
    return [
        f"{source}: the site asked us to stop; nothing is asked until {row['breaker_open_until']:%F %H:%M} UTC"
        for source, row in sorted(newest.items())
        if row["breaker_open_until"] is not None and row["breaker_open_until"] > now
    ]


def transient_reasons() -> tuple[str, ...]:
    """Every reason whose policy is to try again later."""
    return tuple(
        sorted({r for spec in TABLES.values() for r, policy in spec.reasons.items() if policy is Policy.LATER})
    )


def read_reasons(retry: str) -> tuple[str, ...]:
    """What `--retry` names: reasons separated by commas, or "transient" for all that may pass.

    Raises:
        ConfigError: a reason that no table knows.
    """
    known = {reason for spec in TABLES.values() for reason in spec.reasons}
    reasons = transient_reasons() if retry == "transient" else tuple(filter(None, map(str.strip, retry.split(","))))
    for reason in reasons:
        if reason not in known:
            meant = did_you_mean(reason, [*known, "transient"]) or "; docs/troubleshooting.md lists them all"
            raise ConfigError(f"--retry: no row can have the reason {reason!r}{meant}")
    return reasons


def read_retrieval(root: str) -> pd.DataFrame:
    """Recall in percent beside chance and beside shuffled pairs: one row a split and direction.

    Chance at k is k of the queries there are; with the pairs shuffled, nothing but a leak is better than that. R@10 has
    the interval of the bootstrap over queries (`evaluate.confidence`).
    """
    table = read_table(root, "evaluations").sort_by([("split", "descending"), ("direction", "descending")]).to_pandas()
    frame: pd.DataFrame = table[["split", "direction", "num_queries"]].rename(columns={"num_queries": "queries"})
    for k in RECALL_AT:
        frame[f"R@{k}"] = 100 * table[f"recall_at_{k}"]
    for k in RECALL_AT:
        frame[f"chance@{k}"] = 100 * np.minimum(k / table["num_queries"], 1)
    frame["R@10 low"], frame["R@10 high"] = 100 * table["recall_at_10_low"], 100 * table["recall_at_10_high"]
    for k in (1, 10):
        frame[f"shuffled R@{k}"] = 100 * table[f"shuffled_recall_at_{k}"]
    frame["MedR"] = table["median_rank"]
    return frame


def fold_retrieval(retrieval: pd.DataFrame) -> pd.DataFrame:
    """`read_retrieval` for a terminal: three recalls in one column, and R@10's interval, chance and shuffled pairs."""
    folded: pd.DataFrame = retrieval[["split", "direction", "queries"]].replace({"direction": ARROWS})
    folded.columns = pd.Index(["split", "", "queries"])
    folded["R@1/5/10"] = _join(retrieval[["R@1", "R@5", "R@10"]], "/", 1)
    folded["interval"] = _join(retrieval[["R@10 low", "R@10 high"]], "-", 0)
    folded["chance"] = retrieval["chance@10"]
    folded["shuffled"] = retrieval["shuffled R@10"]
    folded["MedR"] = retrieval["MedR"]
    return folded


def _join(columns: pd.DataFrame, separator: str, num_decimals: int) -> list[str]:
    """One cell a row; blank where there are no figures, as without bootstrap."""
    rows = columns.itertuples(index=False)
    cells = ([f"{value:.{num_decimals}f}".removesuffix(".0") for value in row] for row in rows)
    return ["" if "nan" in cell else separator.join(cell) for cell in cells]


def unexpected_share(root: str) -> float:
    """Largest share of rows that failed for reason `unexpected` among the tables of a root."""
    shares = [
        sum(int(row["items"] or 0) for row in counted if row["reason"] == "unexpected")
        / sum(int(row["items"] or 0) for row in counted)
        for counted in (count_rows(root, name) for name in TABLES)
        if counted
    ]
    return max(shares, default=0.0)


def to_rich(frame: pd.DataFrame, title: str) -> Table:
    """A data frame as a terminal table; fractions with one decimal, absent values blank."""
    table = Table(title=escape(title), title_justify="left")
    for column in frame.columns:
        is_number = pd.api.types.is_numeric_dtype(frame[column])
        # Words wrap in a narrow terminal: a command that mends, or where a copy lies, must not end in dots.
        table.add_column(str(column), justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(one_line(format_number(value), 2000)) for value in row))
    return table


def read_availability(root: str) -> pd.DataFrame:
    """Over the days: videos whose state is known, how many of them can still be had, and the share in percent.

    A video that is gone stays gone, and an answer stands until the next; one that only met trouble says nothing.
    """
    checked = read_table(root, "availability", ["video_id", "day", "status", "reason"]).to_pandas()
    is_answer = (checked["status"] == Status.OK.value) | checked["reason"].isin(GONE_REASONS)
    answers = checked[is_answer].sort_values("day")
    rows = []
    for day in sorted(checked["day"].unique()):
        latest = answers[answers["day"] <= day].drop_duplicates("video_id", keep="last")
        known, available = len(latest), int((latest["status"] == Status.OK.value).sum())
        asked = int((checked["day"] == day).sum())
        rows.append((day, asked, known, available, 100 * available / known if known else None))
    return pd.DataFrame(rows, columns=["day", "asked", "known", "available", "percent"])


def read_qualities(root: str) -> pd.DataFrame:
    """Of each figure of the table qualities how many clips have it, and its tenths that matter for a limit."""
    specified = [column.name for column in TABLES["qualities"].columns if pa.types.is_floating(column.type)]
    frame = read_ok(root, "qualities", specified).to_pandas()
    rows = [{"quality": name, "clips": int(frame[name].count())} for name in specified]
    for row in rows:
        quantiles = frame[row["quality"]].quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        row.update({f"{share:.0%}": f"{value:.2f}" for share, value in quantiles.items() if not np.isnan(value)})
    return pd.DataFrame(rows)


def read_agreements(root: str) -> pd.DataFrame:
    """Clips of each tenth of probability that what is said belongs to what is seen."""
    found = read_ok(root, "agreements", ["probability"])["probability"].to_numpy()
    counts, edges = np.histogram(found, bins=10, range=(0, 1))
    return pd.DataFrame({"probability": [f"{low:.1f} to {low + 0.1:.1f}" for low in edges[:-1]], "clips": counts})


def read_yields(root: str, facet: str) -> pd.DataFrame:
    """Queries and what they brought, one row a value of the facet, most clips first.

    A video that queries of several values found counts for each of them, and once for each: columns may add up to more
    than the funnel shows. Queries without the facet make up the row whose value is empty.
    """
    searches = read_ok(root, "searches", ["query", facet])
    searches = searches.set_column(1, "value", pc.fill_null(searches[facet], ""))
    found = read_table(root, "discoveries", ["query", "video_id"]).join(searches, keys="query", join_type="inner")
    found = found.group_by(["value", "video_id"]).aggregate([])
    clips = read_ok(root, "clips", ["clip_id", "video_id"]).group_by("video_id").aggregate([("clip_id", "count")])
    counts = [
        searches.group_by("value").aggregate([([], "count_all")]),
        _count(found),
        _count(_keep_known(found, read_ok(root, "videos", ["video_id"]))),
        _count(_keep_known(found, read_ok(root, "media", ["video_id"]))),
        found.join(clips, keys="video_id", join_type="inner").group_by("value").aggregate([("clip_id_count", "sum")]),
    ]
    frame = pd.DataFrame({"value": pd.Series(dtype="str")})
    for stage, table in zip(YIELDS, counts, strict=True):
        frame = frame.merge(table.rename_columns(["value", stage]).to_pandas(), on="value", how="outer")
    frame = frame.fillna(dict.fromkeys(YIELDS, 0)).astype(dict.fromkeys(YIELDS, "int64"))
    order = [*reversed(YIELDS), "value"]
    frame = frame.sort_values(order, ascending=[*([False] * len(YIELDS)), True], ignore_index=True)
    return frame.rename(columns={"value": facet})


def _keep_known(found: pa.Table, known: pa.Table) -> pa.Table:
    return found.filter(pc.is_in(found["video_id"], known["video_id"]))


def _count(found: pa.Table) -> pa.Table:
    return found.group_by("value").aggregate([([], "count_all")])


def read_frame(root: str, name: str, columns: list[str]) -> pd.DataFrame:
    """`datasets.tables.read_ok` as a data frame."""
    return to_frame(read_ok(root, name, columns))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Text that many rows share becomes categories: tens of millions of segments then fit in memory."""
    for name in ("video_id", "label", "split", "reason"):
        if name in table.column_names:
            # In one chunk: unifying a dictionary of each part takes time, and memory, by the square of their number.
            text = table[name].cast(pa.large_string()).combine_chunks()
            table = table.set_column(table.column_names.index(name), name, text.dictionary_encode())
    frame: pd.DataFrame = table.to_pandas()
    return frame
