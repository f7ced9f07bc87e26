"""Which spoken queries find their clip: by topic, by length, by share of speech."""

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from datasets.queries import find_word, list_facets, shipped_words
from datasets.tables import list_parts, read_table
from model.ranks import DIRECTIONS, RECALL_AT, Ranks

VOICE = DIRECTIONS[0]
"""Search by voice: speech is the query, a clip is found."""
MOST_WORDS = 12
FEWEST_QUERIES = 3
"""A word with fewer queries says nothing about the word."""
LENGTHS_S = (0, 2, 3, 5, 10, 15, 20, 30, 50, float("inf"))
SPEECH_PERCENT = (0, 50, 70, 80, 90, 95, 100)
_FRAME_MS = 10


@dataclass(frozen=True)
class Group:
    """Queries that have something in common."""

    name: str
    num_queries: int
    recall: float
    """R@10 of these queries among all candidates, a fraction."""
    low: float
    high: float
    """95 % interval of it (Wilson), which stays honest for few queries."""
    median_rank: float
    chance: float
    """Of a random order of all candidates, a fraction."""


def read_ranks(root: str) -> pd.DataFrame:
    """The test split's queries by voice: clip_id, video_id, best, position (1 the best) and hit_at_k."""
    table = read_table(root, "ranks", ["split", "direction", "clip_id", "video_id", "better", "tied", "best"])
    own = pc.and_(pc.equal(table["split"], "test"), pc.equal(table["direction"], VOICE))
    frame: pd.DataFrame = table.filter(own).sort_by("clip_id").to_pandas()
    ranks = Ranks(frame["better"].to_numpy(np.int64), frame["tied"].to_numpy(np.int64))
    hits = {f"hit_at_{k}": ranks.hits(k) for k in RECALL_AT}
    return frame.assign(position=ranks.positions(), **hits).drop(columns=["split", "direction", "better", "tied"])


def group_queries(root: str) -> dict[str, list[Group]]:
    """Recall of the test split's spoken queries, by what they are about; without an evaluation, nothing.

    Returns:
        {"topic": the words with most queries, "length": .., "speech": ..}, each without groups that are empty.
    """
    queries = read_ranks(root)
    if queries.empty:
        return {}
    if list_parts(root, "pairs"):
        # Pairs have no video: the folder of the image says what is on it, as in Places and in sets of photographs.
        pairs = read_table(root, "pairs", ["pair_id", "image_path"]).to_pandas().set_index("pair_id")
        mels = read_table(root, "log_mel", ["clip_id", "num_frames"]).to_pandas().set_index("clip_id")
        paths = pairs["image_path"].reindex(queries["clip_id"])
        queries = queries.assign(
            length_s=mels["num_frames"].reindex(queries["clip_id"]).to_numpy() * _FRAME_MS / 1000,
            speech_percent=np.nan,
            topic=paths.map(lambda path: PurePosixPath(path).parent.name or None, na_action="ignore").to_numpy(),
        )
    else:
        columns = ["clip_id", "start_ms", "end_ms", "speech_ms"]
        own = read_table(root, "clips", columns).to_pandas().set_index("clip_id").reindex(queries["clip_id"])
        length_ms = (own["end_ms"] - own["start_ms"]).to_numpy()
        queries = queries.assign(
            length_s=length_ms / 1000,
            speech_percent=100 * own["speech_ms"].to_numpy() / length_ms,
            topic=queries["video_id"].map(_find_topics(root, set(queries["video_id"]))),
        )
    words = queries["topic"].dropna().value_counts()
    common = [str(word) for word in words.index[words >= FEWEST_QUERIES]][:MOST_WORDS]
    groups = {
        "topic": [_sum_up(word, queries[queries["topic"] == word], len(queries)) for word in common],
        "length": _cut_groups(queries, "length_s", LENGTHS_S, " s"),
        "speech": _cut_groups(queries, "speech_percent", SPEECH_PERCENT, " %"),
    }
    return {name: rows for name, rows in groups.items() if rows}


def _find_topics(root: str, video_ids: set[str]) -> dict[str, str | None]:
    """A word of the shipped lists in a video's title; else the list's first facet of the query that placed it best."""
    topics: dict[str, str | None] = {}
    for facet in list_facets(root)[:1]:
        searches = read_table(root, "searches", ["query", facet])
        searched = dict(zip(searches["query"].to_pylist(), searches[facet].to_pylist(), strict=True))
        for row in read_table(root, "discoveries", ["query", "video_id", "rank"]).sort_by("rank").to_pylist():
            if row["video_id"] in video_ids and searched.get(row["query"]):
                topics.setdefault(row["video_id"], searched[row["query"]])
    words = shipped_words()
    for row in read_table(root, "videos", ["video_id", "title"]).to_pylist():
        if row["video_id"] in video_ids and row["title"]:
            topics[row["video_id"]] = find_word(row["title"], words) or topics.get(row["video_id"])
    return topics


def _cut_groups(queries: pd.DataFrame, column: str, edges: tuple[float, ...], unit: str) -> list[Group]:
    """Groups [edge, next edge); the last one holds its upper edge as well."""
    groups = []
    for low, high in pairwise(edges):
        is_last = high == edges[-1]
        own = queries[(queries[column] >= low) & ((queries[column] < high) | (is_last & (queries[column] == high)))]
        name = f"over {low:g}{unit}" if high == float("inf") else f"{low:g} to {high:g}{unit}"
        if len(own):
            groups.append(_sum_up(name, own, len(queries)))
    return groups


def _sum_up(name: str, queries: pd.DataFrame, num_candidates: int) -> Group:
    recall, median_rank = float(queries["hit_at_10"].mean()), float(queries["position"].median())
    interval = wilson(recall, len(queries))
    return Group(name, len(queries), recall, *interval, median_rank, min(1.0, 10 / num_candidates))


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count` trials, as fractions; scipy's wants whole numbers of hits."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)
