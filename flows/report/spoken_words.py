"""What is said in clips, for people who look at them; only where words are known."""

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from datasets.tables import read_ok


@dataclass(frozen=True)
class Words:
    """What is said in one clip."""

    text: str
    language: str | None
    """Its code, by which a browser chooses the letters' shapes and a screen reader its voice; None: not known."""


def read_words(root: str, clip_ids: Collection[str]) -> dict[str, Words]:
    """clip_id to what is said in it, of those clips whose words are known."""
    said = read_ok(root, "transcripts", ["clip_id", "text", "language"])
    own = said.filter(pc.is_in(said["clip_id"], pa.array(list(clip_ids), pa.string())))
    return {row["clip_id"]: Words(row["text"], row["language"]) for row in own.to_pylist() if row["text"]}
