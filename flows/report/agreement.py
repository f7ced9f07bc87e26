"""How likely what is said belongs to what is seen: the curve of the probabilities, and the clips to look at first."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from datasets.tables import read_ok, read_run
from flows.report.links import clip_fragment

_MOST_EXAMPLES = 10


def read_agreement(root: str, links: Mapping[str, str | None], titles: Mapping[str, str]) -> dict[str, Any] | None:
    """Figures of the table agreements and its least likely clips; None where `agree` was not run.

    Args:
        root: dataset root.
        links: of each video its local media, where there are some.
        titles: of each video.
    """
    record, table = read_run(root, "agreements"), read_ok(root, "agreements", ["clip_id", "video_id", "probability"])
    if record is None or not table.num_rows:
        return None
    order = pa.array(np.lexsort((table["clip_id"].to_numpy(), table["probability"].to_numpy()))[:_MOST_EXAMPLES])
    examples = []
    for row in table.take(order).to_pylist():
        media, times = links.get(row["video_id"]), row["clip_id"].rsplit("_", 2)[1:]
        href = media + clip_fragment(*map(int, times)) if media else None  # pairs have no media, and other ids
        examples.append({**row, "title": titles.get(row["video_id"]) or row["video_id"], "href": href})
    return {**record["figures"], "examples": examples}
