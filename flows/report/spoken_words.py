"""What is said in clips, for people who look at them; only where the stage transcribe has run."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from datasets.tables import read_ok


def read_words(root: str, clip_ids: Collection[str]) -> dict[str, str]:
    """clip_id to what is said in it, of those clips whose words are known."""
    said = read_ok(root, "transcripts", ["clip_id", "text"])
    own = said.filter(pc.is_in(said["clip_id"], pa.array(list(clip_ids), pa.string())))
    return dict(zip(own["clip_id"].to_pylist(), own["text"].to_pylist(), strict=True))
