import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import EpsImagePlugin, Image

from datasets.outcomes import MediaError
from datasets.tables import add_common_columns, check_table
from features.captioned_images import featurize_pairs, read_image
from features.clip_features import Encoders
from features.encoders.encoder import Encoder


def test_an_image_is_resized_and_cropped_as_torchvision_does(tmp_path: Path) -> None:
    from torchvision import transforms

    pixels = np.random.default_rng(0).integers(0, 256, (301, 457, 3), np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    expected = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(Image.open(path))
    assert np.array_equal(read_image(path), np.asarray(expected))


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_what_is_no_image_is_a_reason(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "image.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match="media_missing" if content is None else "decode_failed"):
        read_image(path)


def test_an_image_that_is_a_program_is_not_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # found once a process
    path = tmp_path / "image.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(MediaError, match="decode_failed"):
        read_image(path)
    assert not (tmp_path / "called").exists()


def test_pairs_give_a_row_each_with_a_reason_where_something_is_wrong(
    tmp_path: Path, golden_clip: Path, ffmpeg: Callable[..., bytes], get_encoder: Callable[..., Encoder]
) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)).save(good)
    caption = tmp_path / "caption.wav"
    ffmpeg("-i", str(golden_clip), "-vn", "-ar", "22050", "-ac", "2", str(caption))
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:2000])
    silent = tmp_path / "silent.mp4"
    ffmpeg("-i", str(golden_clip), "-an", "-c", "copy", str(silent))
    pairs = pa.table(
        {
            "pair_id": ["a", "b", "c"],
            "image_path": [str(good), str(broken), str(tmp_path / "none.png")],
            "audio_path": [str(caption), str(silent), str(caption)],
        }
    )
    tables = featurize_pairs(pairs, Encoders(get_encoder("efficientnet_lite0", None, "openvino", "cpu"), None))
    for name, table in tables.items():
        check_table(name, add_common_columns(table, recipe="r", run_id="x"))
    assert tables["features_2d"]["reason"].to_pylist() == [None, "decode_failed", "media_missing"]
    assert tables["pooled"]["reason"].to_pylist() == [None, "decode_failed", "media_missing"]
    assert tables["log_mel"]["reason"].to_pylist() == [None, "no_audio", None]
    assert tables["log_mel"]["num_frames"].to_pylist()[0] == pytest.approx(342, abs=2)
    assert len(tables["pooled"]["pooled_2d"][0].as_py()) == 1280
