"""The encoders: a network by name on an engine, frames or a waveform in, features before L2 normalisation out.

The table of networks is features.encoders.table.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.encoders.engines import Engine, Float32, OpenvinoEngine, UInt8, choose_engine, num_cores
from features.encoders.shapes import NetworkShape
from features.encoders.table import ENCODERS
from features.settings import UNTRAINED


class Encoder:
    """A network with weights on an engine: uint8 RGB frames in, features before L2 normalisation out."""

    def __init__(self, name: str, shape: NetworkShape, engine: Engine, weights_sha256: str, trained: bool) -> None:
        self.name = name
        self.dim = shape.dim
        self.num_frames = shape.num_frames
        self.crop = shape.crop
        self.license = shape.license
        self.weights_sha256 = weights_sha256
        self.trained = trained
        """False when the weights are the deterministic untrained ones: features then carry no learned knowledge."""
        self.engine = engine.name
        self.precision = engine.precision
        """What the hardware does: fp32 where bf16 was asked for but is not there."""
        self.batch_size = engine.batch_size
        self._engine = engine

    @property
    def identity(self) -> list[str]:
        """What a recipe must hold of an encoder."""
        return [self.name, self.weights_sha256, self.engine, self.precision]

    def __call__(self, frames: UInt8) -> Float32:
        """Frames uint8 [T, H, W, 3] RGB -> float32 [T, dim]; a 3D network gives [ceil(T / 16), dim].

        A 3D window that is not full is filled with black frames, as in the reference.
        """
        windows = self.windows(frames)
        return self.run(windows) if len(windows) else np.zeros((0, self.dim), np.float32)

    def run(self, windows: npt.NDArray[Any]) -> Float32:
        """Windows [U, ...] of one shape, as `windows` gives them -> float32 [U, dim].

        An encoder of sound takes a waveform float32 [N], 16 kHz, and gives a row a second: features.encoders.sound.

        Raises:
            ArithmeticError: what comes out is not finite: weights that are not, or a processor or kernel that errs.
        """
        rows = self._engine.run(windows)
        if not np.isfinite(rows).all():
            raise ArithmeticError(f"{self.name} by {self.engine} in {self.precision} gives numbers that are not finite")
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
    use_graphs: bool = False,
) -> Encoder:
    """An encoder by name: a row of `table.ENCODERS`, or any classifier that torchvision or timm names.

    Args:
        name: a row of the table, torchvision/NAME or timm/NAME.
        weights: a .pth or .safetensors file, "untrained" for deterministic weights that were trained on nothing, or
            None for the published ones (resnet152: torchvision's download; efficientnet_lite0: its package).
        engine: torch, openvino or auto (OpenVINO on a CPU, torch on a GPU); networks of sound go by torch.
        device: a torch device; auto: every GPU that torch sees, else the CPU.
        precision: fp32, or bf16 where the hardware has it.
        num_threads: cores to use; all when not given.
        use_graphs: launch a GPU's kernels as CUDA graphs.

    Raises:
        ValueError: an unknown name, engine or precision, or weights that are missing or do not fit.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision must be fp32 or bf16, got {precision!r}")
    weights = None if weights is None else str(weights)
    runner: Engine
    is_of_sound = name in ENCODERS and not ENCODERS[name].num_frames
    if not is_of_sound and choose_engine(engine, device) == "openvino":
        from features.encoders.conversion import converted

        with converted(name, weights) as (path, shape, sha256):
            runner = OpenvinoEngine(path, shape.black_window, precision, num_threads or num_cores())
    else:
        from features.encoders.networks import build_network
        from features.encoders.sound import SoundEngine
        from features.encoders.torch_engine import open_engine

        shape, network, sha256 = build_network(name, weights)
        if is_of_sound:
            runner = SoundEngine(network, device, precision)
        else:
            runner = open_engine(network, device, precision, use_graphs)
    return Encoder(name, shape, runner, sha256, trained=weights != UNTRAINED)
