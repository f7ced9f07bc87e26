"""A file is there whole or not at all, and an error says what it is of."""

import os
from contextlib import contextmanager

import pytest
from fsspec.implementations.local import LocalFileSystem

from datasets.files import describe_files, open_whole


def test_a_file_that_fails_while_it_is_written_leaves_the_old_one_and_nothing_else(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), open_whole(tmp_path / "file") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "source"), OSError("damaged page")])
def test_an_error_of_what_is_read_meanwhile_keeps_its_words(tmp_path, error):
    said = str(error)
    with pytest.raises(OSError) as raised, open_whole(tmp_path / "copy"):
        raise error
    assert str(raised.value) == said


def test_a_listing_with_facts_leaves_out_what_goes_meanwhile(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)

    class Gone:
        path = str(tmp_path / "gone.tmp")

        def stat(self):
            raise FileNotFoundError(self.path)

    @contextmanager
    def scan(folder):
        yield [*list(real(folder)), Gone()]

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    assert {*describe_files(LocalFileSystem(), str(tmp_path))} == {str(tmp_path / name) for name in ("a", "b")}
