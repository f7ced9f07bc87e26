"""The documented commands for what is drawn and spoken here, run as they stand on even less."""

import json
import re
import shlex
from pathlib import Path

import pytest
from test_docs import BLOCK
from test_originals_in_docs import NARROW, TOP, documented
from typer.testing import CliRunner

from datasets.tables import read_table
from demo.__main__ import app as demo
from demo.captions import draw_pictures
from flows.__main__ import app as flows

SMALL = ["batch_size=8", "epochs=1", "embedding_dim=16", f"widths={list(NARROW)}"]
SETS = [f"--set=train.{word}" for word in SMALL] + ["--set=evaluate.num_bootstrap=50", "--set=evaluate.num_shuffles=0"]


RUN_HERE_OR_BESIDE = {"the files of the authors", "places audio captions", "photographs", "the two languages"}


def run(line, *more):
    _, _, module, *words = shlex.split(line)
    result = CliRunner().invoke({"demo": demo, "flows": flows}[module], [*words, *more])
    assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
    return result.output


def test_whatever_the_page_of_experiments_needs_a_test_has_an_imitation_of():
    page = (TOP / "docs" / "experiments.md").read_text(encoding="utf-8")
    needs = {
        block["needs"].removeprefix("<!-- needs: ").removesuffix(" -->\n")
        for block in BLOCK.finditer(page)
        if block["needs"]
    }
    assert needs == RUN_HERE_OR_BESIDE


@pytest.mark.slow
def test_captions_of_photographs_become_pairs(tmp_path, monkeypatch, prefect_server):
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    draw_pictures(tmp_path / "shared" / "media" / "images" / "produce", "en", per_food=1)
    for line in documented("experiments.md", "photographs"):
        run(line)
    assert read_table("data/spoken", "pairs")["status"].to_pylist() == ["ok"] * 32  # sixteen foods in train and test


@pytest.mark.slow
def test_the_cascade_of_two_languages_is_drawn_spoken_trained_and_compared(tmp_path, monkeypatch, prefect_server):
    (tmp_path / "configs").symlink_to(TOP / "configs")
    monkeypatch.chdir(tmp_path)
    for line in documented("experiments.md", "the two languages"):
        shown = run(re.sub(r"--per-food \d+", "--per-food 1", line), *(SETS if "experiment" in line else []))
    assert "(c) HT100M + YC-EN (youcook_japanese) not measured" in shown
    out = Path("data/two_languages/ja/experiments/youcook-japanese.json")
    (table,) = json.loads(out.read_text(encoding="utf-8"))["tables"]
    rows = {row["row"]: row["model"]["seeds"] for row in table["rows"] if row["model"]}
    assert {name: len(seeds) for name, seeds in rows.items()} == {"a": 3, "b": 3, "d": 3}
    assert [model["init_sha256"] for model in rows["d"]] == [model["sha256"] for model in rows["b"]]
    assert {Path(rows[name][0]["trained_on"]).resolve().name for name in "ad"} == {"ja"}
    assert Path(rows["b"][0]["trained_on"]).resolve().name == "en" and table["num_queries"] == 16
