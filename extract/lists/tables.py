"""The tables of lists: CSV and TSV with a header, or AudioSet's and VGGSound's without one."""

import csv
import io
import re
from collections.abc import Iterator

from datasets.numbers import describe
from extract.lists.entries import check_column
from extract.lists.names import role_of
from extract.lists.times import is_time
from extract.lists.trees import SPLITS
from extract.lists.videos import youtube_id

# What a spreadsheet makes of an id such as -QOlSCBRm_Y, which it takes for a formula; no comment.
_SPREADSHEET_ERROR = re.compile(r'#(?:[A-ZÀ-Þ/0]+[!?]|N/A)(?=["\t,;\n]|$)')


def read_rows(content: bytes, video_column: str | None = None) -> tuple[str, list[dict[str, str]]]:
    """What kind of table it is, in words, and its rows by column name; a row that has `video_column` is the header.

    Raises:
        ValueError: not text, no header nor a known layout without, or a row of another length.
    """
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = io.StringIO(content.decode(encoding), newline=None).read()
    comments, lines = _split_comments(text)
    first = next((line for line in lines.splitlines() if line.strip()), "")
    delimiter = next((char for char in "\t,;" if char in first), ",")
    rows = list(_cells(lines, delimiter))
    if not rows:
        return "an empty table", []
    titles = next(_cells(comments[-1], delimiter), []) if comments else []
    if _is_header(rows[0]) and not rows[1:] and len(titles) == len(rows[0]) > 1:
        raise ValueError("has rows that begin with #, as comments do, and no others")
    if _is_header(rows[0]) or video_column in rows[0]:
        return "a table", _name_cells(rows[0], rows[1:])
    check_column(video_column, titles if len(titles) == len(rows[0]) else rows[0])
    if _is_header(titles) and len(titles) == len(rows[0]):
        return "a table whose header is a comment", _name_cells(titles, rows)
    return "a table without a header", _name_cells(_name_columns(rows[0]), rows)


def _split_comments(text: str) -> tuple[list[str], str]:
    """Lines that begin with #, without it, and all other text; within quotes no line is a comment."""
    comments, lines, is_quoted = [], [], False
    for line in re.findall(r".*\n|.+", text):
        if not is_quoted and (error := _SPREADSHEET_ERROR.match(line)):
            raise ValueError(f"has {error[0]}, a spreadsheet's error, where an id was: save its column as text")
        if line.startswith("#") and not is_quoted:
            comments.append(line.lstrip("# "))
        else:
            lines.append(line)
            is_quoted ^= line.count('"') % 2 == 1
    return comments, "".join(lines)


def _cells(text: str, delimiter: str) -> Iterator[list[str]]:
    """Rows of stripped cells, without empty ones."""
    try:
        for row in csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True):
            cells = [cell.strip() for cell in row]
            # A quote that is only a character makes one cell of all lines up to the next such.
            within = [line.split(delimiter) for cell in cells for line in cell.split("\n")[1:]]
            rows = (parts for parts in within if any(map(youtube_id, parts)) and any(map(is_time, parts)))
            if swallowed := next(rows, None):
                raise ValueError(f"has a quote that is not closed before {describe(delimiter.join(swallowed))}")
            if any(cells):
                yield cells
    except csv.Error as error:
        raise ValueError(f"is no table: {error}") from error


def _is_header(cells: list[str]) -> bool:
    return any(role_of(cell) for cell in cells) and not any(map(is_time, cells))


def _name_columns(first: list[str]) -> list[str]:
    """Names for a table that has none: what stands beside the id tells them."""
    names = [f"column {i}" for i in range(1, len(first) + 1)]
    times = [is_time(cell) for cell in first]
    for i, cell in enumerate(first):
        if youtube_id(cell) is None:
            continue
        if len(first) == 1:
            return ["video_id"]
        if times[i + 1 : i + 3] == [True, True] and times[i + 3 : i + 4] != [True]:
            names[i : i + 3] = ["video_id", "start", "end"]
            return [*names[:-1], "split"] if first[-1].lower() in SPLITS else names
        if i == 0 and len(first) == 4 and times[1:3] == [True, False] and first[3].lower() in SPLITS:
            return ["video_id", "start", "label", "split"]
    raise ValueError(f"names none of its columns, and its first row is not understood: {describe(', '.join(first))}")


def _name_cells(names: list[str], rows: list[list[str]]) -> list[dict[str, str]]:
    known = [name for name in names if role_of(name)]
    if len(set(known)) < len(known):
        raise ValueError(f"has two columns of one name: {', '.join(names)[:200]}")
    for number, row in enumerate(rows, start=1):
        if len(row) < len(names) or any(row[len(names) :]):
            raise ValueError(f"row {number} has {len(row)} cells where there are {len(names)} columns")
    return [dict(zip(names, row, strict=False)) for row in rows]
