"""Encoders of sound: a row a second by the library's own networks, in a table that is there when one is named.

PE-AV's network of video is part of the same model, and is tried here too.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
import transformers
from safetensors.torch import load_file, save_file

from datasets.tables import add_common_columns, check_table
from features.captioned_images import featurize_pairs
from features.clip_features import Encoders, feature_recipes, featurize_clips, load_encoders
from features.encoders import conversion, table
from features.encoders.encoder import Encoder, load_encoder
from features.encoders.engines import OpenvinoEngine
from features.encoders.table import ENCODERS
from features.settings import FeatureSettings
from tests.features.test_clip_features import make_clips, rows_of

WHISPER, HUBERT = "transformers/openai/whisper-base", "transformers/rinna/japanese-hubert-base"
PE_AV, PE_AV_VIDEO = "transformers/facebook/pe-av-small", "transformers/facebook/pe-av-small-16-frame"
TINY_PE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16,
}  # fmt: skip
TINY_TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
TINY_CODEC = {"encoder_hidden_size": 2, "codebook_dim": 8, "downsampling_ratios": [2, 8, 10, 12]}
TINY_VIT = {"architecture": "vit_pe_core_tiny_patch16_384", "num_classes": 24, "do_pooling": True, "global_pool": "map"}
TINY: dict[str, dict[str, Any]] = {
    "Whisper": {
        "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64,
        "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64, "vocab_size": 60,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3,
    },
    "Hubert": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4,
    },
    "PeAudioEncoder": TINY_PE | {"dac_config": TINY_CODEC},
    "PeVideoEncoder": TINY_PE | {"vision_config": TINY_VIT},
}  # fmt: skip
SETTINGS = FeatureSettings(encoder_2d="efficientnet_lite0", encoder_3d="none", engine="openvino", device="cpu")


def their_model(family: str) -> Any:
    """A whole model of the library's, of which an encoder is a part."""
    if family.startswith("Pe"):
        networks = {"audio_config": TINY["PeAudioEncoder"], "video_config": TINY["PeVideoEncoder"]}
        return transformers.PeAudioVideoModel(
            transformers.PeAudioVideoConfig(text_config=TINY_TEXT, audio_video_config=TINY_PE | networks)
        )
    whole = "WhisperForConditionalGeneration" if family == "Whisper" else "HubertModel"
    config = getattr(transformers, f"{family}Config")(**TINY[family])
    return getattr(transformers, whole)(config)


@pytest.fixture(params=[WHISPER, HUBERT])
def tiny(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, Path]:
    """A row of the table with a network of two narrow layers, and weights that its library drew and saved."""
    model = request.param.removeprefix("transformers/")
    family = table.TRANSFORMERS[model][0]
    monkeypatch.setitem(table.TRANSFORMERS, model, (family, TINY[family]))
    changes = {"side": 384, "num_frames": 2} if request.param == PE_AV_VIDEO else {}
    monkeypatch.setitem(ENCODERS, request.param, replace(ENCODERS[request.param], dim=32, **changes))
    torch.manual_seed(0)
    their_model(family).save_pretrained(tmp_path / "theirs")
    return request.param, tmp_path / "theirs" / "model.safetensors"


def make_sound(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


def their_frames(name: str, folder: Path, window: np.ndarray) -> np.ndarray:
    """The library's own network, read by itself from its own folder: its frames, those of the padding too."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    if name == PE_AV:
        sound = scipy.signal.resample_poly(window, 3, 1)
        heard = transformers.PeAudioFeatureExtractor()(sound, sampling_rate=48000, return_tensors="pt")
        with torch.inference_mode():
            return model.audio_model.audio_encoder(**heard).last_hidden_state[0].numpy()
    if name == WHISPER:
        heard = transformers.WhisperFeatureExtractor()(window, sampling_rate=16000, return_tensors="pt")
        with torch.inference_mode():
            return model.encoder(heard.input_features).last_hidden_state[0].numpy()
    values = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
    with torch.inference_mode():
        return model(torch.from_numpy(values)[None]).last_hidden_state[0].numpy()


@pytest.mark.parametrize("tiny", [WHISPER, HUBERT, PE_AV], indirect=True)
def test_a_row_is_the_mean_of_a_second_of_its_librarys_own_network(tiny: tuple[str, Path]) -> None:
    name, weights = tiny
    sound = make_sound(3.4)
    rows, frames = load_encoder(name, weights, device="cpu").run(sound), their_frames(name, weights.parent, sound)
    assert len(rows) == 4
    rate, last = {WHISPER: (50, 170), HUBERT: (50, 169), PE_AV: (25, 85)}[name]
    assert np.allclose(rows[1], frames[rate : 2 * rate].mean(0), atol=1e-5)
    assert np.allclose(rows[3], frames[3 * rate : last].mean(0), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("tiny", [PE_AV_VIDEO], indirect=True)
def test_the_same_model_sees_windows_of_frames_by_both_engines(tiny: tuple[str, Path], tmp_path: Path) -> None:
    name, weights = tiny
    windows = np.random.default_rng(0).integers(0, 256, (1, 2, 112, 112, 3), np.uint8)
    pixels = torch.from_numpy(windows).movedim(-1, 2).flatten(0, 1) / 127.5 - 1
    enlarged = torch.nn.functional.interpolate(pixels, (384, 384), mode="bicubic").unflatten(0, (1, 2))
    with torch.inference_mode():
        model = transformers.AutoModel.from_pretrained(weights.parent).eval()
        expected = model.video_model.video_encoder(enlarged).pooler_output.numpy()
    found = load_encoder(name, weights, engine="torch", device="cpu")(windows[0])
    assert found.shape == (1, 32) and np.allclose(found, expected, atol=1e-5)
    conversion.main(name, str(weights), str(tmp_path))
    by_openvino = OpenvinoEngine(tmp_path / "network.xml", windows, "fp32", 1).run(windows)
    assert np.linalg.norm(by_openvino - expected) < 1e-3 * np.linalg.norm(expected)


def test_what_is_longer_than_a_window_goes_on_in_the_next(tiny: tuple[str, Path]) -> None:
    name, weights = tiny
    encoder, sound = load_encoder(name, weights, device="cpu"), make_sound(35)
    rows = encoder.run(sound)
    assert rows.shape == (35, 32)
    assert np.array_equal(rows[30:], encoder.run(sound[30 * 16000 :]))
    assert np.allclose(rows[29], their_frames(name, weights.parent, sound[: 30 * 16000])[29 * 50 :].mean(0), atol=1e-5)


def test_an_end_that_makes_no_frame_makes_no_row(tiny: tuple[str, Path]) -> None:
    encoder = load_encoder(*tiny, device="cpu")
    assert [len(encoder.run(make_sound(s))) for s in (0, 0.02, 0.03, 1, 30.02, 30.03)] == [0, 0, 1, 1, 30, 31]


def test_old_names_and_half_numbers_of_weights_are_read(tiny: tuple[str, Path], tmp_path: Path) -> None:
    """HuBERT's were published before torch renamed what makes up a weight norm; some of Whisper's are in fp16."""
    name, weights = tiny
    old = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
    tensors = load_file(weights)
    for new, former in old.items():
        tensors = {key.replace(new, former): value for key, value in tensors.items()}
    save_file({key: value.half() for key, value in tensors.items()}, tmp_path / "old.safetensors")
    sound = make_sound(2)
    found, expected = (
        load_encoder(name, path, device="cpu").run(sound) for path in (tmp_path / "old.safetensors", weights)
    )
    assert np.allclose(found, expected, atol=1e-2)


def test_a_clip_has_a_row_a_second_and_the_other_tables_as_before(
    tiny: tuple[str, Path], golden_clip: Path, make_media: Callable[..., Path]
) -> None:
    name, weights = tiny
    silent = make_media("silent.mp4", "320x240", 2, audio=False)
    clips = make_clips(("g", golden_clip, 0, 3400), ("g", golden_clip, 1500, 3400), ("s", silent, 0, 2000))
    settings = SETTINGS.model_copy(update={"encoder_sound": name, "weights_sound": str(weights)})
    encoders = load_encoders(settings)
    tables = featurize_clips(clips, encoders, settings)
    found = tables.pop("features_sound")
    check_table("features_sound", add_common_columns(found, recipe="r", run_id="x"))
    assert found["row_start_ms"].to_pylist() == [[0, 1000, 2000, 3000], [1500, 2500], None]
    assert found["reason"].to_pylist() == [None, None, "no_audio"]
    assert rows_of(found, 0).dtype == np.float16 and rows_of(found, 0).shape == (4, 32)
    without = replace(encoders, encoder_sound=None)
    assert tables == featurize_clips(clips, without, SETTINGS)
    recipes = feature_recipes(settings, encoders)
    assert recipes.pop("features_sound") and recipes == feature_recipes(SETTINGS, without)


def test_captions_of_images_are_heard_too(
    tiny: tuple[str, Path], golden_clip: Path, get_encoder: Callable[..., Encoder]
) -> None:
    pairs = pa.table({"pair_id": ["a"], "image_path": ["none.png"], "audio_path": [str(golden_clip)]})
    encoders = Encoders(
        get_encoder("efficientnet_lite0", None, "openvino", "cpu"), None, load_encoder(*tiny, device="cpu")
    )
    found = featurize_pairs(pairs, encoders)["features_sound"]
    assert found["row_start_ms"].to_pylist() == [[0, 1000, 2000, 3000]]


def test_a_network_of_pictures_is_none_of_sound_and_the_other_way_round(tiny: tuple[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"features\.encoder_sound must be a sound network"):
        load_encoders(SETTINGS.model_copy(update={"encoder_sound": "efficientnet_lite0"}))
    with pytest.raises(ValueError, match=r"features\.encoder_2d must be a 2d network"):
        load_encoders(SETTINGS.model_copy(update={"encoder_2d": tiny[0], "weights_2d": str(tiny[1])}))


def test_without_its_library_an_encoder_of_sound_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.encoders.libraries.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"features\.encoder_sound.*make setup-transformers"):
        load_encoders(SETTINGS.model_copy(update={"encoder_sound": WHISPER}))
