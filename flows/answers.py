"""What people answered on the report's listening sheet: kept in the root, counted, and forgotten with a video."""

import csv
import hashlib
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from datasets.files import write_bytes
from datasets.ids import make_clip_id
from datasets.outside_text import make_csv, unguard_cell
from datasets.tables import read_table

FOLDER = "listening"
ANSWERS = ("yes", "no", "unsure")
_COLUMNS = ("clip_id", "split", "answer", "note")


@dataclass(frozen=True)
class Precision:
    """Share of judged clips that are what they claim, with its 95 % interval (Wilson's score)."""

    num_yes: int
    num_no: int
    num_unsure: int
    """Left out of the share: nobody decided, or as many said yes as no."""
    low: float
    high: float

    @property
    def share(self) -> float:
        """Of the clips decided, those judged yes; 0 to 1."""
        return self.num_yes / (self.num_yes + self.num_no)

    @property
    def text(self) -> str:
        """In words, for terminal and page."""
        decided = self.num_yes + self.num_no
        interval = f"{100 * self.low:.0f} to {100 * self.high:.0f} %"
        return (
            f"precision {100 * self.share:.0f} % (95 % interval {interval}): {self.num_yes} of {decided} clips are "
            f"what they claim, {self.num_unsure} undecided"
        )


def keep_answers(root: str, path: Path) -> None:
    """Check a sheet's CSV and keep it in the root; the same answers twice count once.

    Raises:
        ValueError: not a sheet's CSV (names the line), no answer in it, or none about a clip of this root.
        OSError: a file that cannot be read.
    """
    if "://" in root:
        raise ValueError(f"answers are kept under a local root, got {root}")
    rows = list(_parse(path.read_bytes(), path))
    if not any(row["answer"] for row in rows):
        raise ValueError(f"{path} holds no answer: judge some clips in report.html, and save the CSV again")
    about = pa.array([row["clip_id"] for row in rows if row["answer"]])
    if not pc.any(pc.is_in(read_table(root, "clips", ["clip_id"])["clip_id"], about)).as_py():
        raise ValueError(f"{path} is about other clips than {root} has, such as {about[0]}: name the root it is of")
    _write(root, rows)


def forget_answers(root: str, videos: Collection[str]) -> None:
    """Take the answers about clips of these videos out of the kept sheets of a local root."""
    for path in sorted((Path(root) / FOLDER).glob("*.csv")):
        rows = list(_parse(path.read_bytes(), path))
        left = [row for row in rows if row["clip_id"].rsplit("_", 2)[0] not in videos]
        if len(left) < len(rows):
            _write(root, left)
            path.unlink()


def measure_precision(root: str, kept: pd.DataFrame) -> Precision | None:
    """What all kept sheets say about the clips there are now, by the majority for each clip; None without a decision.

    Args:
        root: the dataset root.
        kept: clips with video_id, start_ms, end_ms; answers about others are left out.
    """
    files = sorted((Path(root) / FOLDER).glob("*.csv")) if "://" not in root else []
    answers = [row for path in files for row in _parse(path.read_bytes(), path) if row["answer"]]
    spans = kept[["video_id", "start_ms", "end_ms"]].itertuples(index=False)
    known = {make_clip_id(str(v), int(a), int(b)) for v, a, b in spans} if answers else set()
    votes: dict[str, int] = {}
    for row in answers:
        if row["clip_id"] in known:
            votes[row["clip_id"]] = votes.get(row["clip_id"], 0) + {"yes": 1, "no": -1, "unsure": 0}[row["answer"]]
    num_yes, num_no = sum(vote > 0 for vote in votes.values()), sum(vote < 0 for vote in votes.values())
    if num_yes + num_no == 0:
        return None
    from scipy.stats import binomtest

    interval = binomtest(num_yes, num_yes + num_no).proportion_ci(method="wilson")
    return Precision(num_yes, num_no, len(votes) - num_yes - num_no, float(interval.low), float(interval.high))


def _write(root: str, rows: list[dict[str, str]]) -> None:
    content = make_csv(_COLUMNS, rows)
    write_bytes(Path(root) / FOLDER / f"{hashlib.sha256(content).hexdigest()[:16]}.csv", content)


def _parse(content: bytes, path: Path) -> Iterator[dict[str, str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no listening sheet: it is not text; save it from report.html") from error
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise ValueError(f"{path} is no listening sheet: its columns must be {', '.join(_COLUMNS)}")
    for row in reader:
        if row["answer"] not in ("", *ANSWERS):
            told = f"answer {row['answer']!r}"
            raise ValueError(f"{path}, line {reader.line_num}: {told} is none of {', '.join(ANSWERS)}, or empty")
        yield {name: unguard_cell(row[name] or "") for name in _COLUMNS}
