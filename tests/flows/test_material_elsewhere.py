"""A folder of an object store or of the Hub as a source: read through fsspec, its files copied, never changed there."""

import wave

import fsspec
import pytest
from huggingface_hub import HfFileSystem
from huggingface_hub.errors import HTTPError

from datasets.outcomes import TransientError
from extract.folder import find_file, list_media, read_rows
from extract.folder_fetch import fetch_file
from extract.selection import SelectionSettings
from extract.site.settings import DownloadSettings
from extract.sources import SourceSettings
from flows.commands.own_material import settings_of_place
from tests.flows.fake_hub import open_hub
from tests.flows.object_store import serve_bucket

NAMES = ["日本 語/料理 その1.wav", "plain.wav"]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two recordings, one below folders with spaces, metadata beside them, and what is no media."""
    folder = tmp_path_factory.mktemp("films")
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        with wave.open(str(folder / name), "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            sound.writeframes(bytes([number, 0]) * 16000 * 12)
    (folder / "metadata.csv").write_text(f"file_name,title,language\n{NAMES[0]},煮物,ja\n", encoding="utf-8")
    (folder / "notes.txt").write_text("rice")
    return folder


@pytest.fixture(scope="module")
def bucket(films, tmp_path_factory):
    with serve_bucket("films-of-test", tmp_path_factory.mktemp("store")) as store:
        fsspec.filesystem("s3").put(str(films), "films-of-test/own", recursive=True)
        yield f"{store.bucket}/own"


@pytest.fixture(scope="module")
def dataset(films):
    """The same in a folder of a dataset repository."""
    files = {f"own/{path.relative_to(films).as_posix()}": path.read_bytes() for path in films.rglob("*.*")}
    with open_hub() as hub, pytest.MonkeyPatch.context() as patch:
        hub.repos["cook/films"] = {"commits": [("0" * 40, {"README.md": b"films", **files})], "tags": {}}
        patch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        HfFileSystem.clear_instance_cache()
        yield "hf://datasets/cook/films/own"
        HfFileSystem.clear_instance_cache()


@pytest.fixture(params=["bucket", "dataset"])
def place(request):
    return request.getfixturevalue(request.param)


def test_the_media_of_a_place_elsewhere_are_listed_by_their_names(place):
    assert settings_of_place(place) == ['source.name="folder"', f'source.folder="{place}"']
    read_rows.cache_clear()
    assert list_media(place) == sorted(NAMES)


def test_a_file_from_elsewhere_is_copied_and_has_what_lies_beside_it(place, tmp_path):
    (found,) = find_file(NAMES[0], place)
    source = SourceSettings(name="folder", folder=place)
    selection, download = SelectionSettings(language="ja", min_views=0), DownloadSettings(min_free_bytes=1)
    video, media = fetch_file(NAMES[0], found["id"], tmp_path, source, selection, download)
    assert (video["status"], video["title"]) == ("ok", "煮物") and media["status"] == "ok", (video, media)
    path = tmp_path / media["media_path"]
    assert path.is_file() and not path.is_symlink() and media["sha256"].startswith(found["id"])


def test_a_folder_elsewhere_that_is_not_there_is_one_line(place):
    with pytest.raises(ValueError, match="there is no such folder") as error:
        list_media(f"{place}/nowhere")
    assert "\n" not in str(error.value)


def test_a_file_is_not_lost_for_a_hub_that_does_not_answer(dataset, tmp_path, monkeypatch):
    (found,) = find_file(NAMES[1], dataset)
    monkeypatch.setattr(HfFileSystem, "get_file", lambda *_, **__: (_ for _ in ()).throw(HTTPError("no such host")))
    monkeypatch.setattr(HfFileSystem, "find", lambda *_, **__: (_ for _ in ()).throw(HTTPError("no such host")))
    source, download = SourceSettings(name="folder", folder=dataset), DownloadSettings(min_free_bytes=1)
    with pytest.raises(TransientError, match="no such host"):
        fetch_file(NAMES[1], found["id"], tmp_path, source, SelectionSettings(min_views=0), download)
    with pytest.raises(OSError, match=f"{dataset}: no such host"):
        list_media(dataset)


@pytest.mark.parametrize("repository", ["cook/nothing", "cook", "cook/films/own@1.0.0"])
def test_a_repository_that_is_not_there_is_one_line(dataset, repository):
    with pytest.raises((ValueError, OSError)) as error:
        list_media(f"hf://datasets/{repository}")
    assert "\n" not in str(error.value), error.value
