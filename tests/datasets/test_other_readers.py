"""What we write, other people's tools read, value for value: pandas, pyarrow, DuckDB and Hugging Face."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from datasets.schemas import list_of_vectors
from datasets.tables import add_common_columns, list_parts, read_table, write_part
from tests.needs import READERS_PYTHON, needs_readers

TOP = Path(__file__).parents[2]
TOOLS = ("pandas", "pyarrow", "duckdb", "hugging face")


def vectors(lengths: list[int | None], dim: int, value_type: pa.DataType) -> pa.Array:
    """A column with so many random vectors a row; None for a row that failed."""
    rng = np.random.default_rng(dim)
    dtype = value_type.to_pandas_dtype()
    rows = [None if n is None else list(rng.standard_normal((n, dim)).astype(dtype)) for n in lengths]
    return pa.array(rows, list_of_vectors(dim, value_type))


def make_rows(lengths: list[int | None], name: str, start: int) -> pa.Table:
    """Rows of a feature table, as `features.feature_tables` makes them; those without vectors are failed."""
    num_rows = len(lengths)
    columns = {
        "clip_id": pa.array([f"v_{start + row:09d}_000009000" for row in range(num_rows)]),
        "video_id": pa.array(["v"] * num_rows),
    }
    if name == "log_mel":
        columns |= {"values": vectors(lengths, 40, pa.float32()), "num_frames": pa.array(lengths, pa.int32())}
    elif name == "pooled":
        rows = vectors([None if n is None else 1 for n in lengths], 2048, pa.float32()).to_pylist()
        pooled = pa.array([None if row is None else row[0] for row in rows], pa.list_(pa.float32()))
        columns |= {"pooled_2d": pooled, "pooled_3d": pooled}
    else:
        columns["values"] = vectors(lengths, 2048, pa.float16())
        starts = [None if n is None else list(range(n)) for n in lengths]
        columns["row_start_ms"] = pa.array(starts, pa.list_(pa.int64()))
        if name == "features_3d":
            columns["num_valid_frames"] = pa.array(lengths, pa.int32())
    columns["status"] = pa.array(["failed" if n is None else "ok" for n in lengths])
    columns["reason"] = pa.array(["decode_failed" if n is None else None for n in lengths], pa.string())
    columns["detail"] = pa.nulls(num_rows, pa.string())
    return pa.table(columns)


@pytest.mark.slow
@needs_readers
@pytest.mark.parametrize(
    ("name", "column"),
    [("features_2d", "values"), ("features_3d", "values"), ("log_mel", "values"), ("pooled", "pooled_3d")],
)
def test_other_tools_read_the_values_that_we_read(name: str, column: str, tmp_path: Path) -> None:
    for start, lengths in ((0, [3, None, 1]), (10, [None, None]), (20, [200, 7])):
        rows = add_common_columns(make_rows(lengths, name, start), recipe="r", run_id="x")
        write_part(tmp_path, name, rows)
    script = Path(__file__).with_name("read_with_others.py")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [str(READERS_PYTHON), "-P", str(script), column, *list_parts(tmp_path, name)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ours = read_table(tmp_path, name, ["clip_id", column])
    expected = {
        row["clip_id"]: row[column] and hashlib.sha256(np.asarray(row[column], np.float32).tobytes()).hexdigest()
        for row in ours.to_pylist()
    }
    assert len(expected) == 7 and sum(value is None for value in expected.values()) == 3
    assert json.loads(done.stdout) == dict.fromkeys(TOOLS, expected)
