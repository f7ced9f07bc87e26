"""Stream a release, or an export as WebDataset, as the Hub's viewer does; run in .venv-readers, nothing of ours.

python -P stream_release.py, in its folder, prints {configuration: {split: clips}}.
"""

import json
from pathlib import Path

from datasets import get_dataset_config_names, load_dataset  # Hugging Face's


def main() -> None:
    here, found = str(Path.cwd()), {}
    for name in get_dataset_config_names(here):
        streamed = load_dataset(here, name, streaming=True)
        found[name] = {split: sum(1 for _ in rows) for split, rows in streamed.items()}
        whole = load_dataset(here, name)
        assert {split: rows.num_rows for split, rows in whole.items()} == found[name], name
        row = next(iter(streamed["train"]))
        assert ("clip_id" in row) or row["json"]["clip_id"] == row["__key__"], name
    print(json.dumps(found))


if __name__ == "__main__":
    main()
