"""Killed at any write point and started again, featurize ends with the digests of an undisturbed run."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.tables import make_table, record_run, write_part

TOP = Path(__file__).parents[2]
GOLDEN_CLIP = TOP / "tests" / "golden" / "features" / "g1_426x240_2997.mp4"
STARTS = (0, 500, 1000, 1500, 2000)


@pytest.fixture
def prepared(tmp_path):
    """A root with five clips of one video in its splits, and one that lies past the end."""
    root = tmp_path / "prepared"
    (root / "media_files").mkdir(parents=True)
    (root / "media_files" / "g.mp4").write_bytes(GOLDEN_CLIP.read_bytes())
    ranges = [(start, start + 900) for start in STARTS] + [(9000, 9500)]
    clips = [{"clip_id": make_clip_id("g", *span), "video_id": "g", "start_ms": span[0], "end_ms": span[1]} | OK
             for span in ranges]  # fmt: skip
    splits = [{"clip_id": clip["clip_id"], "video_id": "g", "split": "train"} | OK for clip in clips]
    media = [{"video_id": "g", "media_path": "g.mp4"} | OK]
    for name, rows in (("media", media), ("clips", clips), ("splits", splits)):
        write_part(root, name, make_table(name, rows, recipe="r", run_id="x"))
        record_run(root, name, "r", {})
    return root


@pytest.mark.slow
def test_killed_at_twenty_write_points_and_started_again_it_ends_with_the_same_digests(prepared):
    command = [sys.executable, "-m", "tests.flows.featurize_and_die", str(prepared.parent), "20"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((prepared.parent / "digests.json").read_text())
    assert len(found["killed"]) == 20
    assert {word.split()[0] for word in (kill["at"] for kill in found["killed"])} == {"before", "flushed", "renamed"}
    for kill in found["killed"]:
        assert (kill["ended_by"], kill["again"], kill["leftovers"]) == (signal.SIGKILL, 0, 0), kill["at"]
        assert kill["digests"] == found["expected"], kill["at"]
