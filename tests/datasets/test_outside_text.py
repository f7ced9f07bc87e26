"""What strangers wrote is shown, and nothing obeys it: no terminal, no spreadsheet."""

import csv
import io
import re
from pathlib import Path

import pytest

from datasets import outside_text
from datasets.outside_text import guard_cell, make_csv, make_visible, one_line, unguard_cell

TOP = Path(__file__).parents[2]
FORMULAS = [
    '=HYPERLINK("http://e","x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1",
    "\u3000=1",
    "-abcdefghi1",
]
OBEYED = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x9d0;title\x9c", "a\rb", "a\bb", "\u202eabc", "\u2066abc",
          "\u200fabc", "\u2028", "\x7f", "\x00", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text_to_a_spreadsheet_and_read_back_as_it_was(text):
    (row,) = csv.DictReader(io.StringIO(make_csv(["note"], [{"note": text}]).decode(), newline=""))
    assert row["note"] == f"'{text}"
    assert unguard_cell(row["note"]) == text


@pytest.mark.parametrize("value", ["肉じゃが", "a=b", "'quoted'", "1-2", "", -0.5, None, 3])
def test_what_is_no_formula_stays(value):
    assert guard_cell(value) == value


def test_no_file_writes_a_spreadsheet_of_its_own():
    writers = re.compile(r"csv\.(Dict)?[wW]riter|\.to_csv|\.to_excel|write_csv|openpyxl|xlsxwriter")
    folders = ("datasets", "extract", "features", "model", "flows", "demo")
    found = [path for folder in folders for path in (TOP / folder).rglob("*.py") if writers.search(path.read_text())]
    assert found == [TOP / "datasets/outside_text.py"]


def test_the_page_that_saves_answers_guards_its_cells_by_the_same_rule():
    script = (TOP / "flows/report/listening.js").read_text(encoding="utf-8")
    alternatives = outside_text._FORMULA.pattern.split("|")
    assert all(part in script for part in alternatives)


@pytest.mark.parametrize("text", OBEYED)
def test_what_a_terminal_obeys_is_shown_as_its_escape(text):
    shown = make_visible(text)
    assert shown.isascii() and shown.isprintable() and "\\" in shown


def test_japanese_with_its_wide_blank_and_pictures_stay():
    text = "肉じゃが\u3000の作り方 🍲 café"
    assert make_visible(text) == text and one_line(text) == text
