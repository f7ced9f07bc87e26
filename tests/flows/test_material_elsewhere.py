"""A folder of an object store or of the Hub as a source: read through fsspec, its files copied, never changed there."""

import wave

import fsspec
import pytest
from huggingface_hub import HfFileSystem
from huggingface_hub.errors import HTTPError
from typer.testing import CliRunner

from datasets.outcomes import TransientError
from datasets.tables import read_ok, table_digest
from demo.espeak import speak_espeak
from extract.folder import find_file, list_media, read_rows
from extract.folder_fetch import fetch_file
from extract.selection import SelectionSettings
from extract.site.settings import DownloadSettings
from extract.sources import SourceSettings
from flows.__main__ import app
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
def hub():
    with open_hub() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        HfFileSystem.clear_instance_cache()
        yield hub
        HfFileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def dataset(hub, films):
    """The same in a folder of a dataset repository."""
    hold(hub, "cook/films", {f"own/{path.relative_to(films).as_posix()}": path for path in films.rglob("*.*")})
    return "hf://datasets/cook/films/own"


def hold(hub, repository, files):
    """A repository of one commit."""
    content = {name: path.read_bytes() for name, path in files.items()}
    hub.repos[repository] = {"commits": [("0" * 40, {"README.md": b"films", **content})], "tags": {}}


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


@pytest.mark.slow
def test_a_folder_of_the_hub_becomes_clips_in_splits_and_a_second_run_does_nothing(hub, prefect_server, tmp_path):
    """The whole of `curate` over two recordings of somebody who speaks Korean, and what lies beside them."""
    lines = ["file_name,title,language"]
    for number, pitch in enumerate((35, 65)):
        said, rate = speak_espeak("양파를 얇게 썰어 주세요. 냄비에 물을 붓고 끓입니다. " * 3, "ko", pitch=pitch)
        with wave.open(str(tmp_path / f"{number}.wav"), "wb") as sound:
            sound.setparams((1, 2, rate, 0, "NONE", ""))
            sound.writeframes((said * 32767).astype("<i2").tobytes())
        lines.append(f"{number}.wav,양파 볶음,ko")
    (tmp_path / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    hold(hub, "cook/spoken", {f"own/{path.name}": path for path in tmp_path.iterdir()})
    root, place = str(tmp_path / "root"), "hf://datasets/cook/spoken/own"
    sizes = ("splits.train=1", "splits.val=0", "splits.test=1", "clips.min_ms=2000", "clips.bridge_gap_ms=700")
    given = [f"--set={word}" for word in ("selection.language=ko", *sizes)]
    digests = []
    for _ in range(2):
        result = CliRunner().invoke(app, ["curate", "--root", root, "--from", place, *given])
        assert result.exit_code == 0, f"{result.output[-2000:]}\n{result.exception}"
        digests.append([table_digest(root, name) for name in ("media", "clips", "splits")])
    assert digests[0] == digests[1]
    assert set(read_ok(root, "videos", ["title"])["title"].to_pylist()) == {"양파 볶음"}
    assert set(read_ok(root, "splits", ["split"])["split"].to_pylist()) == {"train", "test"}
    files = list((tmp_path / "root" / "media_files").glob("*/*.mp4"))
    assert len(files) == 2 and not any(path.is_symlink() for path in files)
