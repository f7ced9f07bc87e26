import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from features.encoders.encoder import Encoder, load_encoder
from features.encoders.resnext3d import ResNeXt3D
from features.encoders.table import ENCODERS, LITE0_SHA256
from features.encoders.weights import load_into, read_weights, tensors_sha256, untrained_weights

GOLDEN = Path(__file__).parents[1] / "golden" / "features"
FEATURES = np.load(GOLDEN / "features.npz")
FRAMES = np.load(GOLDEN / "preprocess.npz")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ON_EVERY_ENGINE = [
    pytest.param(("openvino", "cpu"), id="openvino"),
    pytest.param(("torch", "cpu"), id="torch", marks=pytest.mark.slow),
    pytest.param(("torch", "cuda"), id="cuda", marks=needs_gpu),
]
ON_EVERY_DEVICE = [
    pytest.param("openvino", "cpu", id="openvino"),
    pytest.param("torch", "cpu", id="torch"),
    pytest.param("torch", "cuda", id="cuda", marks=needs_gpu),
]


def distance(actual: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def to_frames(golden: np.ndarray) -> np.ndarray:
    """(T, 3, H, W) of the golden files -> [T, H, W, 3]."""
    return np.ascontiguousarray(golden.transpose(0, 2, 3, 1))


@pytest.fixture(scope="session", params=ON_EVERY_ENGINE)
def net_3d(request: pytest.FixtureRequest, get_encoder: Callable[..., Encoder]) -> Encoder:
    engine, device = request.param
    return get_encoder("resnext101_3d", "untrained", engine, device)


@pytest.fixture(scope="session", params=[pytest.param(p.values[0], id=p.id, marks=p.marks) for p in ON_EVERY_ENGINE])
def lite0(request: pytest.FixtureRequest, get_encoder: Callable[..., Encoder]) -> Encoder:
    engine, device = request.param
    return get_encoder("efficientnet_lite0", None, engine, device)


def test_3d_features_are_the_references(net_3d: Encoder) -> None:
    assert distance(net_3d(to_frames(FEATURES["in3d_u8"])), FEATURES["out3d_f32"]) < 1e-5
    rows = net_3d(to_frames(FRAMES["g1_3d_u8"]))
    assert rows.shape == (6, 2048)
    assert distance(rows[[0, 5]], FEATURES["out3d_g1_first_and_last_window_f32"]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "device"), ON_EVERY_DEVICE)
def test_2d_features_are_the_references(engine: str, device: str) -> None:
    encoder = load_encoder("resnet152", "untrained", engine=engine, device=device)
    assert distance(encoder(to_frames(FEATURES["in2d_u8"])), FEATURES["out2d_f32"]) < 1e-5
    frames = to_frames(FRAMES["g1_2d_u8"])[:2]
    assert distance(encoder(frames), FEATURES["out2d_g1_frames01_f32"]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "device"), ON_EVERY_DEVICE)
@pytest.mark.parametrize(("name", "golden"), [("resnet152", "2d"), ("resnext101_3d", "3d")])
def test_bf16_is_within_its_tolerance(name: str, golden: str, engine: str, device: str) -> None:
    encoder = load_encoder(name, "untrained", engine=engine, device=device, precision="bf16")
    if encoder.precision != "bf16":
        pytest.skip("this CPU has no bf16: the encoder says that it computes in fp32, whose tolerance has its own test")
    found, expected = encoder(to_frames(FEATURES[f"in{golden}_u8"])), FEATURES[f"out{golden}_f32"]
    assert 1e-5 < distance(found, expected) < 5e-3
    if len(expected) == 1:
        return
    centred = [rows - rows.mean(axis=0) for rows in (found, expected)]
    cosine = np.sum(centred[0] * centred[1]) / np.prod([np.linalg.norm(rows) for rows in centred])
    assert cosine > 0.99


def test_a_clips_result_is_the_same_alone_and_among_others(lite0: Encoder) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 224, 300, 3), np.uint8)
    together = lite0(frames)
    assert np.array_equal(lite0(frames[::-1])[::-1], together)
    for part in (slice(0, 1), slice(1, 4), slice(4, 7)):
        assert np.array_equal(lite0(frames[part]), together[part])


def test_lite0_has_its_published_weights(lite0: Encoder) -> None:
    assert lite0.weights_sha256 == LITE0_SHA256
    assert lite0.trained
    assert lite0.dim == 1280


def test_frames_may_be_of_any_size_and_none(lite0: Encoder) -> None:
    shapes = ((2, 224, 300, 3), (0, 9, 9, 3), (1, 300, 224, 3))
    assert [lite0(np.zeros(shape, np.uint8)).shape for shape in shapes] == [(2, 1280), (0, 1280), (1, 1280)]


def test_numbers_that_are_not_finite_are_no_features(lite0: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.ones((2, 1280), np.float32)
    rows[1, 3] = np.nan
    monkeypatch.setattr(lite0._engine, "run", lambda _windows: rows)
    with pytest.raises(ArithmeticError, match=r"efficientnet_lite0 by \w+ in fp32 gives numbers that are not finite"):
        lite0(np.zeros((2, 224, 300, 3), np.uint8))


def test_3d_windows_are_filled_with_black_and_step_as_told() -> None:
    windows = Encoder.windows
    encoder = Encoder.__new__(Encoder)
    encoder.num_frames, encoder.crop = 16, None
    frames = np.arange(1, 35, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert windows(encoder, frames)[:, 0, 0, 0, 0].tolist() == [1, 17, 33]
    assert windows(encoder, frames)[2, :, 0, 0, 0].tolist() == [33, 34, *[0] * 14]
    assert windows(encoder, frames, 32)[:, 0, 0, 0, 0].tolist() == [1, 33]


def test_frames_that_are_not_uint8_are_refused(lite0: Encoder) -> None:
    with pytest.raises(ValueError, match="uint8"):
        lite0(np.zeros((1, 224, 224, 3), np.float32))


def test_keys_and_shapes_are_those_of_the_released_file() -> None:
    expected = json.loads((GOLDEN / "state_dict_keys.json").read_text())["resnext101"]
    assert {key: list(value.shape) for key, value in ResNeXt3D().state_dict().items()} == expected


def test_untrained_weights_follow_from_names_and_shapes_alone() -> None:
    shapes = {"a.weight": torch.Size([2, 3]), "a.running_var": torch.Size([4])}
    torch.manual_seed(1)
    first = untrained_weights(shapes)
    torch.manual_seed(2)
    np.random.seed(3)
    assert tensors_sha256(first) == tensors_sha256(untrained_weights(dict(reversed(shapes.items()))))


@pytest.mark.parametrize("layout", ["bare", "module", "state_dict", "safetensors"])
def test_every_layout_of_a_weights_file_loads(layout: str, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    weights = untrained_weights({key: value.shape for key, value in network.state_dict().items()})
    del weights["1.num_batches_tracked"]
    path = tmp_path / ("weights.safetensors" if layout == "safetensors" else "weights.pth")
    if layout == "safetensors":
        path.write_bytes(as_safetensors(weights))
    elif layout == "state_dict":
        torch.save({"arch": "x", "state_dict": {f"module.{key}": value for key, value in weights.items()}}, path)
    else:
        torch.save({f"module.{key}" if layout == "module" else key: value for key, value in weights.items()}, path)
    load_into(network, read_weights(path), "file")
    assert torch.equal(network.state_dict()["0.weight"], weights["0.weight"])


def as_safetensors(tensors: dict[str, torch.Tensor]) -> bytes:
    header, body = {}, b""
    for key, value in tensors.items():
        data = value.numpy().tobytes()
        header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_weights_that_do_not_fit_are_told_by_name(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"weight must have shape \[3, 2\], got \[4, 2\]"):
        load_into(network, {"weight": torch.zeros(4, 2), "bias": torch.zeros(3)}, "file")
    with pytest.raises(ValueError, match="1 keys missing"):
        load_into(network, {"weight": torch.zeros(3, 2)}, "file")


class Surprise:
    """Something that only unpickling could bring back."""


@pytest.mark.parametrize("content", [b"", b"no weights at all", None])
def test_files_that_are_not_weights_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if content is None:
        torch.save({"state_dict": Surprise()}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="weights"):
        read_weights(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet9000"}, "resnet9000"),
        ({"name": "torchvision/resnet9000", "engine": "torch"}, "resnet9000"),
        ({"name": "timm/resnet9000", "engine": "torch"}, "resnet9000"),
        ({"name": "resnext101_3d", "engine": "torch"}, "no published download"),
        ({"name": "efficientnet_lite0", "precision": "int3"}, "int3"),
        ({"name": "efficientnet_lite0", "engine": "abacus"}, "abacus"),
        ({"name": "efficientnet_lite0", "weights": "/none.pth"}, "no file"),
    ],
)
def test_wrong_arguments_are_told_by_value(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder(**arguments)


@pytest.mark.parametrize(
    ("name", "crop"),
    [
        ("torchvision/mobilenet_v3_small", None),
        ("torchvision/squeezenet1_1", 224),
        ("torchvision/vit_b_32", 224),
        ("timm/resnet10t.c3_in1k", None),
        ("timm/vit_tiny_patch16_224", 224),
    ],
)
def test_any_network_of_torchvision_and_timm_is_an_encoder(name: str, crop: int | None) -> None:
    encoder = load_encoder(name, "untrained", engine="torch")
    rows = encoder(np.random.default_rng(0).integers(0, 256, (2, 224, 300, 3), np.uint8))
    assert rows.shape == (2, encoder.dim)
    assert np.isfinite(rows).all() and not np.array_equal(rows[0], rows[1])
    assert encoder.crop == crop
    assert len(encoder.weights_sha256) == 64


def test_a_timm_encoder_is_timms_own_network(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    network = timm.create_model("resnet10t.c3_in1k").eval()
    path = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), path)
    frames = np.random.default_rng(0).integers(0, 256, (2, 224, 260, 3), np.uint8)
    pixels = torch.from_numpy(frames).movedim(-1, 1) / 255
    mean, std = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    network.reset_classifier(0)
    with torch.inference_mode():
        expected = network((pixels - mean) / std).numpy()
    for engine in ("torch", "openvino"):
        assert distance(load_encoder("timm/resnet10t.c3_in1k", path, engine=engine)(frames), expected) < 1e-5


def test_the_table_has_the_networks_of_the_paper() -> None:
    assert {"resnet152", "resnext101_3d", "efficientnet_lite0"} <= set(ENCODERS)
