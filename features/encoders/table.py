"""The table of encoders: a row a network, data alone, read without torch.

A network that has no row goes by its library, as torchvision/NAME or timm/NAME: features.encoders.libraries asks it for
what a row says. `python -m features.encoders.table` prints the table of docs/training.md.
"""

from dataclasses import dataclass, replace

from features.encoders.shapes import NetworkShape
from features.frames.filters import SHORT_SIDE_2D, SIDE_3D

Triple = tuple[float, float, float]
_HALVES, _ONES = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)
_KINETICS_MEAN, _KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(NetworkShape):
    """One row of the table of encoders; `license` is that of the published weights."""

    library: str
    """A key of `libraries.LIBRARIES`, which also knows where the published weights are."""
    model: str
    """Its name there."""
    scale: float = 255.0
    """Pixels (0 to 255) are divided by it, then normalised by mean and std."""
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    side: int | None = None
    """The square that is seen is enlarged to this side, for networks that take no other."""
    is_folded: bool = False
    """Whether batch norms are folded into convolutions, as the paper's networks' are: another rounding."""
    sha256: str | None = None
    """Of the published weights, or what it begins with."""


_FOLDED = EncoderSpec(library="torchvision", model="", dim=2048, num_frames=1, is_folded=True)
_SIGLIP = EncoderSpec(
    library="timm", model="", dim=768, num_frames=1, crop=SHORT_SIDE_2D, mean=_HALVES, std=_HALVES, license="apache-2.0"
)
"""SigLIP 2, and Perception Encoder (PE), whose preprocessing is the same."""
_KINETICS = EncoderSpec(library="torchvision", model="", dim=512, num_frames=16, mean=_KINETICS_MEAN, std=_KINETICS_STD)
_VJEPA2 = EncoderSpec(library="transformers", model="", dim=1024, num_frames=16, side=256, license="apache-2.0")
_SOUND = EncoderSpec(library="transformers", model="", dim=768, num_frames=0, license="apache-2.0")
_PE_AV = EncoderSpec(
    library="transformers", model="", dim=768, num_frames=16, mean=_HALVES, std=_HALVES, side=336, license="apache-2.0"
)
_PE_AV_SMALL: dict[str, float] = {"hidden_size": 768, "intermediate_size": 2048, "num_attention_heads": 6}
_PE_AV_BASE: dict[str, float] = {"hidden_size": 1024, "intermediate_size": 2752, "num_attention_heads": 8}

TRANSFORMERS: dict[str, tuple[str, dict[str, float]]] = {
    "facebook/vjepa2-vitl-fpc64-256": ("VJEPA2", {}),
    "facebook/vjepa2-vith-fpc64-256": ("VJEPA2", {"hidden_size": 1280, "num_hidden_layers": 32}),
    "facebook/vjepa2-vitg-fpc64-256": (
        "VJEPA2", {"hidden_size": 1408, "num_hidden_layers": 40, "num_attention_heads": 22, "mlp_ratio": 48 / 11}
    ),
    "openai/whisper-base": (
        "Whisper", {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048}
    ),
    "openai/whisper-small": (
        "Whisper", {"d_model": 768, "encoder_layers": 12, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072}
    ),
    "facebook/hubert-base-ls960": ("Hubert", {}),
    "rinna/japanese-hubert-base": ("Hubert", {}),
    "facebook/pe-av-small": ("PeAudioEncoder", _PE_AV_SMALL | {"num_hidden_layers": 12}),
    "facebook/pe-av-base": ("PeAudioEncoder", _PE_AV_BASE | {"num_hidden_layers": 16}),
    "facebook/pe-av-large": ("PeAudioEncoder", {"num_hidden_layers": 28}),
    "facebook/pe-av-small-16-frame": ("PeVideoEncoder", _PE_AV_SMALL | {"num_hidden_layers": 4}),
    "facebook/pe-av-base-16-frame": ("PeVideoEncoder", _PE_AV_BASE | {"num_hidden_layers": 4}),
    "facebook/pe-av-large-16-frame": ("PeVideoEncoder", {"num_hidden_layers": 4}),
}  # fmt: skip
"""By repository on the Hub: the family of its network, and where the network is another than the family's default."""

ENCODERS: dict[str, EncoderSpec] = {
    "resnet152": replace(_FOLDED, model="resnet152", sha256="394f9c45"),
    "resnext101_3d": replace(
        _FOLDED, library="avlnet", model="resnext101", num_frames=16, scale=1.0, mean=(110.6, 103.2, 96.3), std=_ONES
    ),
    "efficientnet_lite0": replace(
        _FOLDED,
        library="efficientnet_lite",
        model="efficientnet-lite0",
        dim=1280,
        sha256=LITE0_SHA256,
        scale=1.0,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        license="apache-2.0",
    ),
} | {
    f"{spec.library}/{spec.model}": spec
    for spec in (
        replace(_SIGLIP, model="vit_base_patch16_siglip_224.v2_webli"),
        replace(_SIGLIP, model="vit_base_patch32_siglip_256.v2_webli", side=256),
        replace(_SIGLIP, model="vit_so400m_patch14_siglip_224.v2_webli", dim=1152),
        replace(_SIGLIP, model="vit_pe_core_tiny_patch16_384.fb", dim=192, side=384),
        replace(_SIGLIP, model="vit_pe_core_base_patch16_224.fb"),
        EncoderSpec(
            library="timm", model="mobilenetv3_small_050.lamb_in1k", dim=1024, num_frames=1, license="apache-2.0"
        ),
        replace(_KINETICS, model="r3d_18"),
        replace(_KINETICS, model="mc3_18"),
        replace(_KINETICS, model="r2plus1d_18"),
        replace(_VJEPA2, model="facebook/vjepa2-vitl-fpc64-256", license="mit"),
        replace(_VJEPA2, model="facebook/vjepa2-vith-fpc64-256", dim=1280),
        replace(_VJEPA2, model="facebook/vjepa2-vitg-fpc64-256", dim=1408),
        replace(_SOUND, model="openai/whisper-base", dim=512),
        replace(_SOUND, model="openai/whisper-small"),
        replace(_SOUND, model="facebook/hubert-base-ls960"),
        replace(_SOUND, model="rinna/japanese-hubert-base"),
        replace(_SOUND, model="facebook/pe-av-small"),
        replace(_SOUND, model="facebook/pe-av-base", dim=1024),
        replace(_SOUND, model="facebook/pe-av-large", dim=1792),
        replace(_PE_AV, model="facebook/pe-av-small-16-frame"),
        replace(_PE_AV, model="facebook/pe-av-base-16-frame", dim=1024),
        replace(_PE_AV, model="facebook/pe-av-large-16-frame", dim=1792),
    )
}
"""Preprocessing is each network's own: resnet152 as torchvision and the reference; resnext101_3d the reference's
Kinetics mean; efficientnet_lite0 as TensorFlow's efficientnet/lite trained it, (pixel - 127) / 128."""


def print_table() -> None:
    """Print the table as Markdown."""
    print("| name | a row is | sees | pixels | numbers | library | licence of the published weights |")
    print("|---|---|---|---|---:|---|---|")
    for name, spec in ENCODERS.items():
        is_3d = spec.num_frames > 1
        row = f"{spec.num_frames} frames at 24 a second" if is_3d else "1 frame a second"
        side = SIDE_3D if is_3d else spec.crop
        sees = f"centre {side} x {side}" if side else f"whole frame, short side {SHORT_SIDE_2D}"
        sees += f", enlarged to {spec.side} x {spec.side}" if spec.side else ""
        mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
        pixels = f"/ {spec.scale:g}, - {mean}, / {std}"
        if not spec.num_frames:
            row, sees, pixels = "1 second of sound", "hears up to 30 s at once", ""
        print(f"| `{name}` | {row} | {sees} | {pixels} | {spec.dim:,} | {spec.library} | {spec.license} |")


if __name__ == "__main__":
    print_table()
