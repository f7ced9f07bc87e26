"""Read our Parquet files with other people's tools; run in .venv-readers, so this file imports nothing of ours.

python -P read_with_others.py COLUMN PART.parquet...  prints {tool: {clip_id: sha256 of its float32 values, or null}}
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from datasets import load_dataset  # Hugging Face's


def digest(clip_ids: Iterable[str], values: Iterable[Any]) -> dict[str, str | None]:
    return {
        clip_id: None if value is None else hashlib.sha256(flatten(value).tobytes()).hexdigest()
        for clip_id, value in zip(clip_ids, values, strict=True)
    }


def flatten(value: Any) -> np.ndarray:
    is_nested = len(value) and np.ndim(value[0])
    return (
        np.concatenate([np.asarray(row, np.float32) for row in value]) if is_nested else np.asarray(value, np.float32)
    )


def main(column: str, *paths: str) -> None:
    frame = pd.concat([pd.read_parquet(path) for path in paths])
    arrow = pq.read_table(list(paths))
    duck = duckdb.sql(f"select clip_id, {column} from read_parquet({list(paths)})").fetchall()
    hugging_face = load_dataset("parquet", data_files=list(paths), split="train")
    found = {
        "pandas": digest(frame["clip_id"], frame[column]),
        "pyarrow": digest(arrow["clip_id"].to_pylist(), arrow[column].to_pylist()),
        "duckdb": digest([row[0] for row in duck], [row[1] for row in duck]),
        "hugging face": digest([row["clip_id"] for row in hugging_face], [row[column] for row in hugging_face]),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
