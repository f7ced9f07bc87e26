"""One run per root on an object store: who holds it, who may take it, and what becomes of one that lost it."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest

from datasets import counts
from datasets.counts import count_ok
from datasets.outcomes import OK
from datasets.tables import list_parts, make_table, read_table, record_run, write_part
from flows.machinery import locks as lease
from flows.machinery.locks import RootBusyError, hold_root
from tests.flows.object_store import serve_bucket

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with serve_bucket("leases-of-test", tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def bucket(store):
    return store.bucket


@pytest.fixture
def root(bucket, request):
    return f"{bucket}/{request.node.name}"


def names(root):
    fs, path = fsspec.core.url_to_fs(f"{root}/_leases")
    fs.invalidate_cache()
    return [name.rpartition("/")[2] for name in fs.ls(path, detail=False)]


def test_a_second_run_is_refused_and_told_who_holds_the_root(root):
    with (
        hold_root(root),
        pytest.raises(RootBusyError, match=r"process \d+ of .* works on the root .*free at \d\d:\d\d"),
        hold_root(root),
    ):
        pass


def test_a_root_given_back_is_taken_at_once_and_leaves_one_small_object(root):
    for _ in range(3):
        with hold_root(root):
            assert len(names(root)) == 1
    assert names(root) == ["00000003.json"]


def test_of_many_runs_at_once_one_gets_the_root(root):
    start, end = threading.Barrier(6), threading.Event()

    def try_to_hold(_):
        claim = lease._Lease(root)
        start.wait()
        try:
            claim.take()
        except RootBusyError:
            return 0
        end.wait(1)
        return 1

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(try_to_hold, range(6))) == 1


def test_the_lease_of_a_killed_run_ends_by_itself(root):
    script = (
        "import os, signal\n"
        "from datetime import timedelta\n"
        "from flows.machinery import locks as lease\n"
        "lease.LEASE = timedelta(seconds=3)\n"
        f"with lease.hold_lease({root!r}):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False, cwd=TOP)
    threading.Event().wait(3)
    with hold_root(root):
        assert names(root) == ["00000002.json"]


def test_a_lease_is_renewed_while_the_work_goes_on(root, monkeypatch):
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=3))
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    with hold_root(root):
        threading.Event().wait(3.5)
        with pytest.raises(RootBusyError), hold_root(root):
            pass


def test_who_holds_the_root_can_be_read_while_the_lease_is_being_renewed(root):
    claim, ended = lease._Lease(root), threading.Event()
    claim.take()

    def renew():
        while not ended.is_set():
            claim.renew()

    with ThreadPoolExecutor(1) as threads:
        renewing = threads.submit(renew)
        try:
            said = {claim.explain("works on the root") for _ in range(30)}
        finally:
            ended.set()
        renewing.result()
    assert all("works on the root" in line for line in said)


def lose(root, script):
    """What a process of its own, which the lost lease interrupts, ends with; it renews once another has taken it."""
    head = (
        "import signal, threading\n"
        "from datetime import timedelta\n"
        "from flows.machinery import locks as lease\n"
        f"root = {root!r}\n"
        "lease.LEASE, lease.RENEW_S = timedelta(0), 0.1\n"
        "keep, taken = lease._keep, threading.Event()\n"
        "lease._keep = lambda *given: taken.wait(100) and keep(*given)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + script], check=False, cwd=TOP, capture_output=True, text=True, timeout=200
    )
    return done.stderr.splitlines()[-1]


def test_a_run_whose_lease_ended_stops_when_another_takes_the_root(root):
    told = lose(
        root,
        "other = lease._Lease(root)\n"
        "with lease.hold_root(root):\n"
        "    lease.LEASE = timedelta(minutes=5)\n"
        "    other.take()\n"
        "    taken.set()\n"
        "    threading.Event().wait(120)\n",
    )
    assert "RootBusyError" in told and "has taken the root" in told


@pytest.mark.parametrize(("part", "other"), [("'1/2'", "None"), ("None", "'1/2'")])
def test_a_run_over_a_part_and_one_over_the_root_keep_off_where_a_lease_ended_meanwhile(root, part, other):
    told = lose(
        root,
        f"with lease.hold_root(root, {part}):\n"
        "    lease.LEASE = timedelta(minutes=5)\n"
        f"    with lease.hold_root(root, {other}):\n"
        "        taken.set()\n"
        "        threading.Event().wait(120)\n",
    )
    assert "RootBusyError" in told and "has taken the root" in told


def test_a_lease_that_ended_and_that_nobody_took_meanwhile_holds_again(root, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(lease, "LEASE", timedelta(0))
        claim = lease._Lease(root, lease._folder_of("1/2"))
        claim.take()
    claim.renew()
    assert not claim.is_lost and claim.is_held()


def test_a_lease_lost_as_the_work_ends_is_told_as_a_lost_lease(root):
    told = lose(
        root,
        "def lose_once_the_work_has_ended(held, ended):\n"
        "    ended.wait()\n"
        "    held.is_lost = True\n"
        "    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)\n"
        "lease._keep = lose_once_the_work_has_ended\n"
        "with lease.hold_root(root):\n"
        "    pass\n",
    )
    assert "RootBusyError" in told and "has taken the root" in told


def test_a_run_whose_grant_was_not_answered_does_not_refuse_itself(root, store):
    store.answer("lose")
    with hold_root(root), pytest.raises(RootBusyError), hold_root(root):
        pass
    assert names(root) == ["00000001.json"]


def test_a_run_whose_probe_was_not_answered_does_not_refuse_itself(root, store, monkeypatch, caplog):
    take = lease._Lease.take

    def take_and_lose_the_next_answer(self):
        take(self)
        store.answer("lose")

    monkeypatch.setattr(lease._Lease, "take", take_and_lose_the_next_answer)
    with hold_root(root):
        assert caplog.text == ""


def test_a_run_that_fails_before_its_work_gives_the_root_back(root, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(lease, "_grants_once", lambda _: (_ for _ in ()).throw(OSError("the store went away")))
        with pytest.raises(OSError, match="went away"):
            hold_root(root).__enter__()
    with hold_root(root):
        pass


def test_what_is_no_lease_beside_the_leases_is_passed_over(root):
    fs, path = fsspec.core.url_to_fs(f"{root}/_leases")
    for name in ("readme.txt", "1.json", "00000009.json.bak", ""):
        fs.pipe_file(f"{path}/{name}", b"x")
    with hold_root(root):
        assert "00000001.json" in names(root)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"0", b'{"until": 5}', b'{"until": "soon"}', b"\xff", b"[" * 200_000]
)
def test_a_lease_that_says_nothing_is_told_in_one_line_and_believed_to_hold(bucket, content):
    root = f"{bucket}/damaged"
    fs, path = fsspec.core.url_to_fs(f"{root}/_leases/00000001.json")
    fs.pipe_file(path, content)
    with pytest.raises(RootBusyError, match=r"00000001\.json is no lease: delete it if no other run"), hold_root(root):
        pass


def test_a_lease_by_a_clock_that_is_wrong_says_the_day(root):
    other = '{"until": "2070-01-01T00:00:00", "machine": "\\u001b[2Jx", "process": 7}'
    fs, path = fsspec.core.url_to_fs(f"{root}/_leases/00000001.json")
    fs.pipe_file(path, other.encode())
    with pytest.raises(RootBusyError) as told, hold_root(root):
        pass
    assert "free at 2070-01-01 00:00 UTC" in str(told.value) and str(told.value).isprintable()


def test_a_store_that_grants_twice_is_told_with_what_is_safe(root, store, caplog):
    with hold_root(f"{root}/fair"):
        assert caplog.text == ""
    store.answer("ignore")
    try:
        with hold_root(root):
            assert "grants a conditional write" in caplog.text and "do not compact or take down" in caplog.text
    finally:
        store.answer("fair")
    fs, path = fsspec.core.url_to_fs(f"{root}/_probe")
    fs.invalidate_cache()
    assert not fs.exists(path), "nothing is left of the probe"


def test_of_two_that_were_granted_the_same_number_one_goes_on(root, store):
    store.answer("ignore")
    try:
        first, second = lease._Lease(root), lease._Lease(root)
        looks, look = [[]], second._numbers
        second._numbers = lambda: looks.pop() if looks else look()  # it looked before the first had written
        first.take()
        second.take()
    except RootBusyError:
        pytest.fail("the second was granted the number")
    finally:
        store.answer("fair")
    first.renew()
    second.renew()
    assert (first.is_lost, second.is_lost) == (True, False)
    first.give_back()
    with pytest.raises(RootBusyError):
        lease._Lease(root).take()


def test_a_store_that_cannot_be_reached_is_told(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # the waits between botocore's five tries are nobody's behaviour here
    fsspec.filesystem("s3").clear_instance_cache()
    command = [sys.executable, "-m", "flows", "compact", "--root", "s3://nobodys-bucket/root"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP)
    assert done.returncode == 3, done.stderr[-2000:]
    assert done.stderr.splitlines()[-1].startswith("error: ") and "127.0.0.1:9" in done.stderr.splitlines()[-1]


def test_parts_of_a_root_have_leases_of_their_own(root):
    with hold_root(root, "1/2"), hold_root(root, "2/2"):
        for part in (None, "1/2"):
            with pytest.raises(RootBusyError, match="works on the root"):
                hold_root(root, part).__enter__()
    with hold_root(root), pytest.raises(RootBusyError, match="works on the root"):
        hold_root(root, "1/2").__enter__()
    with hold_root(root, "1/2"):
        pass


def test_the_parts_of_a_root_on_an_object_store_are_listed_read_and_counted(root, monkeypatch):
    assert list_parts(root, "media") == [] and read_table(root, "media").num_rows == 0
    for recipe in "qr":
        for video_id in "ab":
            row = {"video_id": video_id, "num_bytes": 7, **OK}
            write_part(root, "media", make_table("media", [row], recipe=recipe, run_id="x"))
    assert len(list_parts(root, "media")) == 4
    assert list_parts(root, "media", "r") == [path for path in list_parts(root, "media") if "/media/r/" in path]
    monkeypatch.setattr(counts, "WORTH_KEEPING", 1)
    record_run(root, "media", "r", {})
    assert count_ok(root, "media")["num_bytes"] == 14
    monkeypatch.setattr(counts, "read_table", None)  # kept
    assert count_ok(root, "media")["num_bytes"] == 14
