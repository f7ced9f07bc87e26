"""Names, records and room of media files."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from extract import media_store
from extract.media_store import (
    DiskFullError,
    check_media_start,
    check_room,
    drop_partials,
    media_path,
    partial_path,
    prepare_media_root,
    read_record,
    remove_media,
)
from extract.mp4 import IncompleteMediaError

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("video_id", ["", "../x", "a/b", "a.b", "x" * 65, "a\nb", "ａ"])
def test_path_is_made_of_checked_ids_only(video_id: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="video_id"):
        media_path(tmp_path, video_id)


def test_id_that_begins_with_a_dash_never_begins_an_argument(tmp_path: Path) -> None:
    assert media_path(tmp_path, "-rf").is_absolute()


def test_unfinished_downloads_of_two_encodings_have_two_names(tmp_path: Path) -> None:
    assert partial_path(tmp_path, "abc", "18:1") != partial_path(tmp_path, "abc", "18:2")


def test_unfinished_downloads_of_other_videos_stay(tmp_path: Path) -> None:
    ours, other = (partial_path(tmp_path, video_id, "18") for video_id in ("abc", "abc-"))
    other = ours.with_name(other.name)
    ours.parent.mkdir()
    for path in (ours, other):
        path.touch()
    drop_partials(tmp_path, "abc")
    assert (ours.exists(), other.exists()) == (False, True)


def test_ceiling_counts_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    (tmp_path / "00" / "a.mp4").write_bytes(bytes(900))
    check_room(tmp_path, 100, 0, 1000)
    with pytest.raises(DiskFullError, match=r"media take 900 bytes of the 1000 allowed, 101 more needed"):
        check_room(tmp_path, 101, 0, 1000)


def test_free_disk_is_kept(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="bytes are free, 5 needed beside the"):
        check_room(tmp_path, 5, 1 << 60, 1 << 62)


def test_media_are_not_counted_again_for_every_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting takes 1 s by a clock of ours; not again before 20 s have passed."""
    counted, clock = [], [100.0]

    def count_slowly(media_root: str) -> int:
        counted.append(media_root)
        clock[0] += 1
        return 7

    monkeypatch.setattr(media_store, "total_bytes", count_slowly)
    monkeypatch.setattr(media_store, "monotonic", lambda: clock[0])
    for seconds, times in ((0, 1), (0, 1), (19, 1), (1, 2), (19, 2)):
        clock[0] += seconds
        check_room(tmp_path, 0, 0, 1000)
        assert len(counted) == times


def test_file_without_a_record_is_not_complete(tmp_path: Path) -> None:
    path = media_path(tmp_path, "abc")
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert read_record(tmp_path, "abc") is None


def test_removal_leaves_nothing(tmp_path: Path) -> None:
    path = media_path(tmp_path, "abc")
    path.parent.mkdir()
    for name in ("abc.mp4", "abc.json", ".abc.0123.mp4.part"):
        (path.parent / name).touch()
    remove_media(tmp_path, "abc")
    assert list(path.parent.iterdir()) == []


def test_file_system_that_folds_case_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_store.Path, "exists", lambda path: True)
    with pytest.raises(ValueError, match=r"media_root must lie on a file system that tells upper from lower case"):
        prepare_media_root(tmp_path)


@pytest.mark.parametrize("head", [b"<!doctype html>", b"#EXTM3U\n", b"", b"Good evening", b"ffconcat version 1.0"])
def test_text_is_no_media(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(head)
    with pytest.raises(IncompleteMediaError, match="not a media file"):
        check_media_start(path)


KILLED = """
import os, signal, sys
from pathlib import Path
from fsspec.implementations.local import LocalFileSystem
from extract import folder_fetch
from extract.sources import SourceSettings
def copy(self, original, partial):
    Path(partial).write_bytes(bytes(9))
    os.kill(os.getpid(), signal.SIGKILL)
LocalFileSystem.get_file = copy
source = SourceSettings(name="folder", folder=sys.argv[1], copy_files=True)
download = folder_fetch.DownloadSettings(min_free_bytes=0)
folder_fetch._bring("film.mp4", folder_fetch.media_path(sys.argv[2], "abc"), source, download)
"""


def test_what_a_killed_copy_left_goes_with_the_video(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(bytes(9))
    (media_root := tmp_path / "media").mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(media_root)], cwd=TOP, check=False)
    left = [path for path in media_root.rglob("*") if path.is_file()]
    assert done.returncode == -signal.SIGKILL and len(left) == 1
    remove_media(media_root, "abc")
    assert not left[0].exists()
