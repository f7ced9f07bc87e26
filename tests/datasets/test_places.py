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
    "path", ["/../etc/passwd", "../secret.jpg", "/", "a/../../b.jpg", "", "a\\..\\b", "a\0b", "a\nb", "./.."]
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
        (b'{"data": []}', "data: List should have at least 1 item"),
        (b'{"image_base_path": "x"}', "data: Field required"),
        (b'{"data": [{"image": "a.jpg"}]}', r"data\.0\.wav: Field required"),
        (b"a.jpg a.wav\n\nb.jpg\n", "is not JSON: nor is line 3 an image and a sound"),
        (b"/../a.jpg a.wav\n", r"data\.0\.image: .*inside the base folder"),
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


def test_japanese_lines_are_pairs_with_sounds_beside_the_file_and_ids_from_their_paths(tmp_path):
    path = tmp_path / "PlacesAudioJpn_100k_image2audio_train.txt"
    path.write_text("/a/abbey/gsun_1.jpg /wavs/1/utt_1.wav\n/b/bar/gsun_2.jpg wavs/1/utt_2.wav\n", encoding="utf-8")
    rows, images, sounds = read_places(path, "train", "ja")
    assert [(row["image_path"], row["audio_path"]) for row in rows] == [
        ("a/abbey/gsun_1.jpg", "wavs/1/utt_1.wav"), ("b/bar/gsun_2.jpg", "wavs/1/utt_2.wav"),
    ]  # fmt: skip
    assert (images, sounds) == (None, tmp_path)
    assert rows[0]["pair_id"] == make_pair_id("wavs/1/utt_1.wav") != rows[1]["pair_id"]


@pytest.mark.parametrize(
    "text", ["\ufeff/a.jpg /1.wav\r\n\r\n/b.jpg\t/2.wav\r\n", "\n /a.jpg  /1.wav \n\n/b.jpg /2.wav"]
)
def test_lines_may_come_from_any_editor(tmp_path, text):
    path = tmp_path / "pairs.txt"
    path.write_bytes(text.encode())
    rows, _, _ = read_places(path, "train", "ja")
    assert [(row["image_path"], row["audio_path"]) for row in rows] == [("a.jpg", "1.wav"), ("b.jpg", "2.wav")]


def test_json_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"data": [{"wav": "1.wav", "image": "a.jpg"}]}).encode())
    assert len(read_places(path, "train")[0]) == 1


@pytest.mark.parametrize("has_folder", [True, False])
def test_hindi_of_the_english_images_takes_the_hindi_sound_and_its_folder(tmp_path, has_folder):
    if has_folder:
        (tmp_path / "hindi_wavs").mkdir()
    item = {"hindi_wav": "/1.wav", "english_wav": "wavs/9.wav", "image": "/f/a.jpg", "english_asr_text": "a field"}
    path = tmp_path / "hindi_english_100k_train.json"
    path.write_text(json.dumps({"english_base_path": "/far/english", "data": [item]}), encoding="utf-8")
    ((row,), images, sounds) = read_places(path, "train", "hi")
    assert (row["audio_path"], row["image_path"], images) == ("1.wav", "f/a.jpg", None)
    assert sounds == (tmp_path / "hindi_wavs" if has_folder else tmp_path)


def test_hindi_by_itself_has_no_folders_and_no_utterance_ids(tmp_path):
    item = {"wav": "wavs/1.wav", "asr_text": "\u0916\u0947\u0924", "image": "f/a.jpg", "speaker": "s"}
    path = tmp_path / "PlacesHindi100k_dev.json"
    path.write_text(json.dumps({"data": [item]}), encoding="utf-8")
    ((row,), images, sounds) = read_places(path, "test", "hi")
    assert (row["pair_id"], images, sounds) == (make_pair_id("wavs/1.wav"), None, tmp_path)


def test_a_slash_before_a_path_is_none_of_the_systems(tmp_path):
    ((row,), _, _) = read_places(write(tmp_path / "x.json", {"wav": "/etc/passwd"}), "val")
    assert row["audio_path"] == "etc/passwd"
