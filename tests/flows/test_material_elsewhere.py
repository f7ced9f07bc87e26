"""A folder of an object store as a source: read through fsspec, its files copied, never changed there."""

import shutil
import wave

import pytest

from extract.folder import find_file, list_media
from extract.folder_fetch import fetch_file
from extract.selection import SelectionSettings
from extract.site.settings import DownloadSettings
from extract.sources import SourceSettings
from flows.commands.own_material import settings_of_place
from tests.flows.object_store import serve_bucket

NAMES = ["日本 語/料理 その1.wav", "plain.wav"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket with two recordings, one below folders with spaces, metadata beside them, and what is no media."""
    import fsspec

    folder = tmp_path_factory.mktemp("films")
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        with wave.open(str(folder / name), "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            sound.writeframes(bytes([number, 0]) * 16000 * 12)
    (folder / "metadata.csv").write_text(f"file_name,title,language\n{NAMES[0]},煮物,ja\n", encoding="utf-8")
    (folder / "notes.txt").write_text("rice")
    with serve_bucket("films-of-test", tmp_path_factory.mktemp("store")) as store:
        fs = fsspec.filesystem("s3")
        fs.put(str(folder), "films-of-test/own", recursive=True)
        shutil.rmtree(folder)
        yield f"{store.bucket}/own"


def test_the_media_of_a_bucket_are_listed_by_their_names(bucket):
    assert settings_of_place(bucket) == ['source.name="folder"', f'source.folder="{bucket}"']
    assert list_media(bucket) == sorted(NAMES)


def test_a_file_of_a_bucket_is_copied_and_has_what_lies_beside_it(bucket, tmp_path):
    (found,) = find_file(NAMES[0], bucket)
    source = SourceSettings(name="folder", folder=bucket)
    selection, download = SelectionSettings(language="ja", min_views=0), DownloadSettings(min_free_bytes=1)
    video, media = fetch_file(NAMES[0], found["id"], tmp_path, source, selection, download)
    assert (video["status"], video["title"]) == ("ok", "煮物") and media["status"] == "ok", (video, media)
    path = tmp_path / media["media_path"]
    assert path.is_file() and not path.is_symlink() and media["sha256"].startswith(found["id"])


def test_a_folder_of_a_bucket_that_is_not_there_is_one_line(bucket):
    with pytest.raises(ValueError, match="there is no such folder") as error:
        list_media(f"{bucket}/nowhere")
    assert "\n" not in str(error.value)
