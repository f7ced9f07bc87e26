"""Take videos off the site."""

import glob
import json
from pathlib import Path

from datasets.suggestions import did_you_mean


def remove_items(directory: Path, identifier: str) -> int:
    """Take the video, or the videos of the channel, of that id out of a catalog; their files go first.

    Returns:
        How many items went.

    Raises:
        ValueError: the catalog has no such id.
    """
    path = directory / "catalog.json"
    catalog = json.loads(path.read_text())
    gone = [item for item in catalog["items"] if identifier in (item["id"], item["channel_id"])]
    if not gone:
        known = {item[name] for item in catalog["items"] for name in ("id", "channel_id")}
        raise ValueError(f"--id {identifier}: no item of {path} is or belongs to it{did_you_mean(identifier, known)}")
    for item in gone:
        for file in (directory / "videos").glob(f"{glob.escape(item['id'])}.*"):
            file.unlink()
    left = [item for item in catalog["items"] if item not in gone]
    unfinished = path.with_name(".catalog.unfinished")
    unfinished.write_text(json.dumps({**catalog, "items": left}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return len(gone)
