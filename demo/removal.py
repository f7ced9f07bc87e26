"""Take videos off the site."""

import glob
import json
from pathlib import Path


def remove_items(directory: Path, identifier: str) -> int:
    """Take the video, or the videos of the channel, of that id out of a catalog; their files go first.

    Returns:
        How many items went.
    """
    path = directory / "catalog.json"
    catalog = json.loads(path.read_text())
    gone = [item for item in catalog["items"] if identifier in (item["id"], item["channel_id"])]
    for item in gone:
        for file in (directory / "videos").glob(f"{glob.escape(item['id'])}.*"):
            file.unlink()
    left = [item for item in catalog["items"] if item not in gone]
    unfinished = path.with_name(".catalog.unfinished")
    unfinished.write_text(json.dumps({**catalog, "items": left}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return len(gone)
