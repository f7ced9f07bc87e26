"""The table pairs from metadata files: what is there, what is missing, what is done again."""

import json
import wave

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from datasets.places_audio import locate_pairs
from datasets.tables import list_parts, read_run, read_table, table_digest
from flows.__main__ import app
from flows.config import load_config
from flows.stages.featurize import featurize
from flows.stages.pairs import fill_pairs


@pytest.fixture
def places(tmp_path):
    """Three pairs of split test; one has no sound file, one's image is a link out of the folder."""
    for name in ("images/a.jpg", "images/b.jpg", "secret.jpg", "audio/1.wav", "audio/3.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "images" / "c.jpg").symlink_to(tmp_path / "secret.jpg")
    data = [{"uttid": f"u{i}", "wav": f"{i}.wav", "image": f"{name}.jpg"} for i, name in ((1, "a"), (2, "b"), (3, "c"))]
    metadata = {"image_base_path": "images", "audio_base_path": "/somebody/elses/folder", "data": data}
    (tmp_path / "test.json").write_text(json.dumps(metadata), encoding="utf-8")
    return tmp_path


def fill(places, retry=(), **more):
    pairs = {"test": places / "test.json", "audio": places / "audio", "language": "ja", **more}
    words = tuple(f'pairs.{name}="{value}"' for name, value in pairs.items())
    fill_pairs(load_config(None, str(places / "root"), words), retry)
    return places / "root"


def test_pairs_are_rows_and_those_without_their_files_say_so(places, prefect_server):
    rows = {row["pair_id"]: row for row in read_table(fill(places), "pairs").to_pylist()}
    assert [(rows[i]["status"], rows[i]["reason"]) for i in ("u1", "u2", "u3")] == [
        ("ok", None), ("failed", "media_missing"), ("failed", "media_missing"),
    ]  # fmt: skip
    assert rows["u2"]["detail"] == "no file 2.wav" and rows["u3"]["detail"] == "no file c.jpg"
    assert (rows["u1"]["image_path"], rows["u1"]["language"], rows["u1"]["split"]) == ("a.jpg", "ja", "test")


def test_files_are_found_wherever_the_metadata_say_or_the_configuration_says(places, prefect_server):
    located = locate_pairs(str(fill(places))).to_pylist()
    assert located == [
        {
            "pair_id": "u1",
            "image_path": str(places / "images" / "a.jpg"),
            "audio_path": str(places / "audio" / "1.wav"),
            "split": "test",
        }
    ]


def test_absolute_paths_below_the_folders_are_those_below_them(places, prefect_server):
    data = [{"uttid": "u1", "wav": str(places / "audio" / "1.wav"), "image": str(places / "images" / "a.jpg")}]
    metadata = {"image_base_path": "images", "audio_base_path": "audio", "data": data}
    (places / "test.json").write_text(json.dumps(metadata), encoding="utf-8")
    (row,) = read_table(fill(places), "pairs").to_pylist()
    assert (row["status"], row["image_path"], row["audio_path"]) == ("ok", "a.jpg", "1.wav")


def test_files_that_moved_are_found_where_the_configuration_says_now(places, prefect_server):
    parts = list_parts(fill(places), "pairs")
    (places / "images").rename(places / "pictures")
    root = str(fill(places, images=places / "pictures"))
    assert locate_pairs(root)["image_path"].to_pylist() == [str(places / "pictures" / "a.jpg")]
    assert list_parts(root, "pairs") == parts


def test_a_second_run_does_nothing_and_a_retry_only_what_was_missing(places, prefect_server):
    root = fill(places)
    before, parts = table_digest(root, "pairs"), list_parts(root, "pairs")
    assert list_parts(fill(places), "pairs") == parts
    (places / "audio" / "2.wav").write_bytes(b"x")
    fill(places, retry=("media_missing",))
    assert len(list_parts(root, "pairs")) == 2 and table_digest(root, "pairs") != before
    assert [row["pair_id"] for row in locate_pairs(str(root)).to_pylist()] == ["u1", "u2"]


def test_a_pair_in_two_splits_is_refused(places, prefect_server):
    with pytest.raises(ValueError, match="'u1'"):
        fill(places, train=places / "test.json")


def test_without_a_metadata_file_the_command_says_what_to_name(tmp_path, prefect_server):
    result = CliRunner().invoke(app, ["pairs", "--root", str(tmp_path / "root")])
    assert result.exit_code == 3 and "name pairs.train, pairs.val or pairs.test" in result.stderr


BASES = {"image_base_path": "images", "audio_base_path": "audio"}


@pytest.fixture
def real_places(tmp_path):
    """Three pairs of images and captions that are real; one image and one caption are broken."""
    (tmp_path / "images").mkdir()
    (tmp_path / "audio").mkdir()
    rng = np.random.default_rng(0)
    for number in (1, 2, 3):
        pixels = rng.integers(0, 256, (260, 300 + number, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        with wave.open(str(tmp_path / "audio" / f"{number}.wav"), "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            sound.writeframes(rng.integers(-3000, 3000, 16000, np.int16).tobytes())
    (tmp_path / "images" / "2.png").write_bytes(b"no image")
    (tmp_path / "audio" / "3.wav").write_bytes(b"no sound")
    data = [{"uttid": f"u{i}", "wav": f"{i}.wav", "image": f"{i}.png"} for i in (1, 2, 3)]
    (tmp_path / "test.json").write_text(json.dumps({**BASES, "data": data}), encoding="utf-8")
    return tmp_path


def test_featurize_takes_pairs_and_failures_are_rows(real_places, prefect_server):
    root = fill(real_places, images=real_places / "images")
    words = ("features.encoder_2d=efficientnet_lite0", "features.engine=openvino")
    config = load_config(None, str(root), words)
    featurize(config)
    tables = ("features_2d", "log_mel", "pooled")
    rows = {name: read_table(root, name).sort_by("clip_id").to_pylist() for name in tables}
    assert [row["reason"] for row in rows["features_2d"]] == [None, "decode_failed", None]
    assert [row["reason"] for row in rows["pooled"]] == [None, "decode_failed", None]
    assert [row["reason"] for row in rows["log_mel"]] == [None, None, "decode_failed"]
    assert [row["clip_id"] for row in rows["log_mel"]] == ["u1", "u2", "u3"]
    assert len(rows["pooled"][0]["pooled_2d"]) == 1280 and rows["pooled"][0]["pooled_3d"] is None
    assert read_run(root, "features_2d")["encoder"]["name"] == "efficientnet_lite0"
    parts = list_parts(root, "pooled")
    featurize(config)
    assert list_parts(root, "pooled") == parts
