"""Which clips, or pairs, a root's draw gives to which split."""

from pathlib import Path

import pyarrow as pa

from datasets.tables import read_ok


def read_drawn(root: str | Path) -> pa.Table:
    """clip_id, video_id, split; a root without splits has pairs, whose features go by the pair's id."""
    drawn = read_ok(root, "splits", ["clip_id", "video_id", "split"])
    if drawn.num_rows:
        return drawn
    pairs = read_ok(root, "pairs", ["pair_id", "split"])
    return pa.table({"clip_id": pairs["pair_id"], "video_id": pairs["pair_id"], "split": pairs["split"]})
