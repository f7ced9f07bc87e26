"""Settings of the features; importing them loads no torch."""

from typing import Annotated, Literal

from pydantic import Field

from datasets.settings import OUTSIDE_RECIPE, Settings

NO_ENCODER = "none"
"""In place of a network: there is no such table. Without the 3D one a model takes `train.features = "2d"`."""
UNTRAINED = "untrained"
"""In place of a weights file: deterministic weights that were trained on nothing."""
UNPUBLISHED = frozenset({"resnext101_3d"})
"""Encoders whose weights no program can fetch: their file must be named."""


class FeatureSettings(Settings):
    """What turns a clip into features; defaults are AVLnet's own."""

    encoder_2d: str = "resnet152"
    """A 2D network: resnet152, efficientnet_lite0, torchvision/NAME or timm/NAME (docs/training.md has the table)."""
    encoder_3d: str = "resnext101_3d"
    """A 3D network: resnext101_3d, torchvision/r3d_18 or another of docs/training.md's table; or "none": no table
    features_3d, and a model takes `train.features = "2d"`."""
    encoder_sound: str = NO_ENCODER
    """A network of sound that fills the table features_sound: transformers/openai/whisper-base or another of
    docs/training.md's table; or "none": no such table."""
    window_step_3d: int = Field(16, ge=16, le=240)
    """Frames (of 24 a second) from one 3D window to the next; 16 as in the paper: no gap, no overlap."""
    max_damaged_share: float = Field(0.1, ge=0, le=1)
    """Share of a clip's frames that may be damaged before the clip counts as decode_failed."""
    max_missing_share: float = Field(0.2, ge=0, le=1)
    """Share of a clip during which its picture or its sound may be missing before it is dropped: picture_missing,
    sound_missing. A part of the recipe where it is not the default."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the encoders; bf16 falls back to fp32 where the hardware lacks it. The recipe has what was done."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """auto: OpenVINO on a CPU, torch on a GPU. The recipe has what was chosen. Networks of sound go by torch."""
    device: str = "auto"
    """A torch device; auto: every GPU that this process sees, else the CPU."""
    weights_2d: str | None = None
    """File of the 2D network's weights, "untrained", or none for the published ones. The recipe has their sha256."""
    weights_3d: str | None = None
    """File of the 3D network's weights, or "untrained". The recipe has their sha256."""
    weights_sound: str | None = None
    """File of the weights of the network of sound, "untrained", or none for the published ones. The recipe has their
    sha256."""
    num_threads: int | None = Field(None, ge=1)
    """Cores to use; all when none is given."""
    cuda_graphs: Annotated[bool, OUTSIDE_RECIPE] = False
    """On a GPU: record the kernels for frames of a size once, launch them together (docs/gpu.md); not measured yet."""
    decode_processes: Annotated[int | None, OUTSIDE_RECIPE] = Field(None, ge=0, le=256)
    """Processes that decode for the threads that encode (Linux); 0: these threads themselves. When none is given, as
    many as cores where the networks are on a GPU, else 0."""
    decoder: Literal["cpu", "nvdec"] = "cpu"
    """cpu: frames byte for byte those of the reference. nvdec: the GPU's decoder (docs/gpu.md), part of the recipe."""
