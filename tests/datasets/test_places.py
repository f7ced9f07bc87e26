"""Metadata files of Places Audio Captions."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.places_audio import make_pair_id, read_places

ITEM = {
    "uttid": "A1-GSUN_00DC2CC6",
    "speaker": "A1",
    "asr_text": "a field",
    "wav": "wavs/1/utt.wav",
    "image": "f/a.jpg",
}


def write(path, *items, **more):
    metadata = {"image_base_path": "images", "audio_base_path": "/far/audio", "data": [{**ITEM, **i} for i in items]}
    path.write_text(json.dumps(metadata | more), encoding="utf-8")
    return path


def test_a_pair_is_a_row_with_paths_relative_to_the_two_folders(tmp_path):
    rows, images, sounds = read_places(write(tmp_path / "val.json", {}), "val", "ja")
    assert rows == [
        {
            "pair_id": "A1-GSUN_00DC2CC6",
            "image_path": "f/a.jpg",
            "audio_path": "wavs/1/utt.wav",
            "language": "ja",
            "split": "val",
        }
    ]
    assert (images, str(sounds)) == (tmp_path / "images", "/far/audio")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret.jpg", "a/../../b.jpg", "", "a\\..\\b", "a\0b", "a\nb", "./.."]
)
@pytest.mark.parametrize("field", ["wav", "image"])
def test_a_path_that_leaves_its_folder_is_refused(tmp_path, field, path):
    with pytest.raises(ValueError, match=rf"data\.0\.{field}: .*inside the base folder") as caught:
        read_places(write(tmp_path / "x.json", {field: path}), "val")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "the file: "),
        (b'{"data": []}', "image_base_path: Field required"),
        (None, "no metadata file"),
    ],
)
def test_a_file_of_another_kind_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_places(tmp_path / "x.json", "val")
    assert "\n" not in str(caught.value) and "x.json" in str(caught.value)


def test_an_utterance_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="1 uttids are there twice, such as 'A1-GSUN_00DC2CC6'"):
        read_places(write(tmp_path / "x.json", {}, {"uttid": "b"}, {}), "val")


@given(st.text(max_size=200))
def test_any_utterance_gets_an_id_that_may_be_a_file_name(uttid):
    pair_id = make_pair_id(uttid)
    assert set(pair_id) <= set(string.ascii_letters + string.digits + "-_")
    assert 0 < len(pair_id) <= 128 and make_pair_id(pair_id) == pair_id
