"""Open a release with Hugging Face, pandas, DuckDB and mlcroissant; run in .venv-readers, without anything of ours.

python -P open_release.py, in the release's folder, prints {tool: {configuration: clips}}.
"""

import json
from pathlib import Path

import duckdb
import mlcroissant as mlc
import pandas as pd

from datasets import get_dataset_config_names, load_dataset  # Hugging Face's

FAMILIES = ("metadata", "pooled", "features_2d", "features_3d", "log_mel")


def main() -> None:
    here = str(Path.cwd())  # Hugging Face names a data set by its folder, and "." has no name
    names = get_dataset_config_names(here)
    croissant = mlc.Dataset(jsonld="croissant.json")
    assert not croissant.metadata.ctx.issues.errors
    found = {
        "hugging face": {name: sum(part.num_rows for part in load_dataset(here, name).values()) for name in names},
        "pandas": {f: sum(len(pd.read_parquet(path)) for path in Path("data", f).iterdir()) for f in FAMILIES},
        "duckdb": {f: duckdb.sql(f"select count(*) from 'data/{f}/*.parquet'").fetchall()[0][0] for f in FAMILIES},
        "croissant": {f: sum(1 for _ in croissant.records(f)) for f in FAMILIES},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
