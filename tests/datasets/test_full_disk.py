"""A disk that takes no more: the write fails, what was there stays, and nothing half-written is left.

Files of the child process may not grow past a limit (RLIMIT_FSIZE), which `write` refuses as it does on a full disk.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from datasets.tables import read_table

TOP = Path(__file__).parents[2]
PROGRAM = """
import resource, signal, sys
from datasets.compaction import compact_table
from datasets.files import write_json
from datasets.outcomes import OK
from datasets.tables import make_table, write_part

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
root, what = sys.argv[1:]

def write(first, num_rows):
    rows = [{"clip_id": f"c{i * 7919:06d}", "video_id": "v", "start_ms": i, "end_ms": i + 1, **OK}
            for i in range(first, first + num_rows)]
    write_part(root, "clips", make_table("clips", rows, recipe="r", run_id=""))

for first in range(0, 400, 40):
    write(first, 40)
write_json(f"{root}/notes.json", {"kept": True})
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    if what == "part":
        write(1000, 5000)
    elif what == "json":
        write_json(f"{root}/notes.json", {"x": "y" * 20000})
    else:
        compact_table(root, "clips")
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["part", "json", "compaction"])
def test_a_write_that_finds_no_room_leaves_everything_as_it_was(tmp_path, what):
    run = [sys.executable, "-c", PROGRAM, str(tmp_path), what]
    found = subprocess.run(run, cwd=TOP, capture_output=True, text=True, check=True)
    assert "File too large: '" + str(tmp_path) in found.stdout, found.stderr
    assert read_table(tmp_path, "clips").num_rows == 400
    assert "kept" in (tmp_path / "notes.json").read_text()
    assert not list(tmp_path.rglob(".*"))
