"""Batches: what is left to do, and one row's failure staying one row."""

import errno
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pyarrow as pa
import pytest
from PIL import Image
from prefect.futures import PrefectConcurrentFuture

from datasets.outcomes import OK, DeviceError, TransientError, failed
from datasets.tables import make_table, write_part
from extract.media import probe_media
from features.captioned_images import read_image
from features.frames import decode_clip
from flows.config import Config, RunSettings
from flows.machinery.batches import cut_batches, left_to_do, run_batches, settle_row
from flows.machinery.labels import Labels
from flows.machinery.locks import RootBusyError, hold_root
from flows.machinery.run import Run
from tests.flows.test_featurize_killed import GOLDEN_CLIP

QUICK = RunSettings(max_tries=3, first_retry_delay_s=0, max_retry_delay_s=0)


def test_transient_trouble_is_tried_again():
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise TransientError("network", "reset")
        return "row"

    assert settle_row(flaky, lambda outcome: outcome, QUICK) == "row"
    assert len(tries) == 3


def test_trouble_that_stays_becomes_a_row_with_its_reason():
    def down():
        raise TransientError("network", "reset")

    assert settle_row(down, lambda outcome: outcome, QUICK) == failed("network", "reset")


def test_a_surprise_becomes_an_unexpected_row():
    def surprise():
        raise KeyError("x")

    outcome = settle_row(surprise, lambda outcome: outcome, QUICK)
    assert (outcome["reason"], outcome["detail"]) == ("unexpected", "KeyError: 'x'")


@pytest.mark.parametrize(
    "error",
    [DeviceError("cuda:0 has no room for one window"), ImportError("libtorch_cpu.so: failed to map"), MemoryError(),
     OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENOSPC, "No space left on device")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_this_machine_lacks_ends_the_run_and_no_row(error):
    def fail():
        raise error

    with pytest.raises(type(error)):
        settle_row(fail, lambda outcome: outcome, QUICK)


@contextmanager
def no_more_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    opened = []
    try:
        with suppress(OSError):
            while True:
                opened.append(os.open("/", os.O_RDONLY))
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("opens", ["extract", "features", "images"])
def test_a_file_is_not_at_fault_where_no_more_files_can_be_opened(opens, tmp_path):
    picture = tmp_path / "p.png"
    Image.new("RGB", (300, 300)).save(picture)
    doors = {"extract": probe_media, "features": lambda path: decode_clip(path, 0, 500), "images": read_image}
    with no_more_files(), pytest.raises(OSError, match=r"[Tt]oo many open files"):
        doors[opens](picture if opens == "images" else GOLDEN_CLIP)


def test_an_interruption_is_not_a_row():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        settle_row(interrupt, lambda outcome: outcome, QUICK)


def _segmentations(**reasons):
    rows = [{"video_id": video_id, **(failed(reason) if reason else OK)} for video_id, reason in reasons.items()]
    return make_table("segmentations", rows, recipe="r", run_id="x")


def test_what_is_done_is_not_left(tmp_path):
    write_part(tmp_path, "segmentations", _segmentations(a=None, b="media_missing"))
    run = Run(Config(root=str(tmp_path)), "x")
    keys = pa.table({"video_id": ["a", "b", "c"]})
    assert left_to_do(keys, run, "segmentations", "r").to_pylist() == [{"video_id": "c", "attempt": 0}]


def test_a_reason_to_retry_is_left_as_the_next_attempt(tmp_path):
    write_part(tmp_path, "segmentations", _segmentations(a=None, b="media_missing"))
    run = Run(Config(root=str(tmp_path)), "x", retry=("media_missing",))
    keys = pa.table({"video_id": ["a", "b"]})
    assert left_to_do(keys, run, "segmentations", "r").to_pylist() == [{"video_id": "b", "attempt": 1}]


def test_another_recipe_leaves_everything_to_do(tmp_path):
    write_part(tmp_path, "segmentations", _segmentations(a=None))
    run = Run(Config(root=str(tmp_path)), "x")
    assert left_to_do(pa.table({"video_id": ["a"]}), run, "segmentations", "other").num_rows == 1


def test_batches_are_disjoint_and_of_one_attempt():
    todo = pa.table({"video_id": list("abcde"), "attempt": pa.array([0, 0, 0, 1, 1], pa.int32())})
    batches = [batch["video_id"].to_pylist() for batch in cut_batches(todo, 2)]
    assert batches == [["a", "b"], ["c"], ["d", "e"]]


def test_a_run_that_fails_has_no_batch_at_work_when_it_lets_its_root_go(tmp_path):
    begun, ended = [], []

    def work(batch, *_):
        begun.append(number := batch["number"][0].as_py())
        if number == 0:
            raise DeviceError("cuda:0 fails")
        time.sleep(0.2)
        ended.append(number)

    batches, run = [pa.table({"number": [number]}) for number in range(4)], Run(Config(root=str(tmp_path)), "x")
    with ThreadPoolExecutor(2) as threads:
        task = SimpleNamespace(
            name="work", submit=lambda *given: PrefectConcurrentFuture(uuid4(), threads.submit(work, *given))
        )
        with pytest.raises(DeviceError):
            run_batches(task, batches, run, description="work")
        at_the_end = sorted(ended)
    assert at_the_end == sorted(ended) == sorted(begun)[1:]


def test_a_root_in_use_refuses_a_second_run(tmp_path):
    with (
        hold_root(str(tmp_path)),
        pytest.raises(RootBusyError, match="another run works on the root"),
        hold_root(str(tmp_path)),
    ):
        pass


def test_a_killed_run_leaves_its_root_free_and_clean(tmp_path):
    script = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from flows.machinery.locks import hold_root\n"
        f"with hold_root({str(tmp_path)!r}):\n"
        f"    folder = Path({str(tmp_path)!r}) / 'clips' / 'r'\n"
        "    folder.mkdir(parents=True)\n"
        "    (folder / '.half.tmp').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert (tmp_path / "clips" / "r" / ".half.tmp").exists()
    with hold_root(str(tmp_path)):
        assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_that_a_report_or_status_ended_writing_meanwhile_stops_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "rglob", lambda folder, _: [folder / ".gone.tmp"])
    with hold_root(str(tmp_path)):
        pass


def test_the_segments_of_videos_are_found_in_order_of_time_and_of_others_none(tmp_path):
    spans = [("b", "music", 900, 1000), ("a", "speech", 500, 900), ("a", "noise", 0, 500), ("c", "speech", 0, 70)]
    rows = [dict(zip(("video_id", "label", "start_ms", "end_ms"), span, strict=True)) | OK for span in spans]
    assert Labels(tmp_path).of(pa.chunked_array([["a"]])) == {}
    write_part(tmp_path, "segments", make_table("segments", rows, recipe="r", run_id="x"))
    labels = Labels(tmp_path)
    found = labels.of(pa.chunked_array([["a", "c", "a"], ["d"]]))
    assert found == {"a": [("noise", 0, 500), ("speech", 500, 900)], "c": [("speech", 0, 70)]} and found["d"] == []
    assert labels.of(pa.chunked_array([["b"]])) == {"b": [("music", 900, 1000)]}
