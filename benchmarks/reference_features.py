"""The reference extractor's way of working, written anew: what bench_features puts beside this project's.

One ffmpeg process for the 1 fps frames, one for the 24 fps frames, one for the sound, whole clips as float32, eager
fp32 torch in batches of 64.
"""

import subprocess

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import torch

from benchmarks.cpu_time import cpu_seconds
from features.audio import log_mel
from features.encoders.libraries import LIBRARIES, without_head
from features.encoders.table import ENCODERS
from features.encoders.weights import untrained_weights
from features.frames.filters import scaled_size

STAGES = {
    "2D pass": (1 / 48.3, 1 / 30.6),
    "3D pass": (1 / 22.8, 1 / 17.7),
    "audio pass": (1 / 463,),
    "log-mel": (),
    "eager 2D": (29.9 / 47, 0.313 * 41.21 / 23.02),
    "eager 3D": (32.5 / 47, 0.310 * 71 / 47),
}
"""CPU-seconds per video-second of the reference extractor's stages on AMD Zen 4, as shared/reference has them.

Passes: of a whole file, then a process for each clip of 12 s. Networks: 2 threads in large batches while the machine
was busy, where threads that wait spin; then one thread in batches of 4 (2D scaled by operations to 224x398).
"""


def load_eager(name: str, device: str) -> torch.nn.Module:
    """The network as the reference runs it: nothing folded, plain layout."""
    network = LIBRARIES[ENCODERS[name].library].build(ENCODERS[name].model)
    network.load_state_dict(untrained_weights({key: value.shape for key, value in network.state_dict().items()}))
    if name == "resnet152":
        network = without_head(network)
    return network.eval().to(device)


def read_raw(path: str, clip: dict[str, int], *arguments: str) -> bytes:
    cut = ["-ss", str(clip["start_ms"] / 1000), "-t", str((clip["end_ms"] - clip["start_ms"]) / 1000)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *cut, "-i", path, *arguments, "pipe:"]
    return subprocess.run(command, check=True, capture_output=True, timeout=600).stdout


class Reference:
    """The reference's way; the CPU-seconds of each stage are kept."""

    def __init__(self, clips: pa.Table, size: tuple[int, int], device: str) -> None:
        self.clips, self.size, self.device = clips.to_pylist(), size, device
        self.nets = {name: load_eager(name, device) for name in ("resnet152", "resnext101_3d")}
        self.stages: dict[str, list[float]] = {name: [] for name in STAGES}

    def run(self) -> None:
        """Every clip once."""
        spent = dict.fromkeys(STAGES, 0.0)
        for clip in self.clips:
            for stage, seconds in self.run_clip(clip).items():
                spent[stage] += seconds
        for stage, seconds in spent.items():
            self.stages[stage].append(seconds)

    def run_clip(self, clip: dict[str, int]) -> dict[str, float]:
        """CPU-seconds of each stage of one clip."""
        path, marks = clip["media_path"], [cpu_seconds()]
        wide, high = scaled_size(*self.size, 224)
        small_wide, small_high = scaled_size(*self.size, 112)
        crop = f"crop=112:112:{int((small_wide - 112) / 2)}:{int((small_high - 112) / 2)}"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
        data = read_raw(path, clip, "-filter_complex", f"fps=1,scale={wide}:{high}", *raw)
        marks.append(cpu_seconds())
        frames = np.frombuffer(data, np.uint8).reshape(-1, high, wide, 3)
        self.encode("resnet152", torch.from_numpy(frames.copy()).movedim(-1, 1).float() / 255)
        marks.append(cpu_seconds())
        data = read_raw(path, clip, "-filter_complex", f"fps=24,scale={small_wide}:{small_high},{crop}", *raw)
        marks.append(cpu_seconds())
        frames = np.frombuffer(data, np.uint8).reshape(-1, 112, 112, 3)
        padded = np.concatenate([frames, np.zeros((-len(frames) % 16, 112, 112, 3), np.uint8)])
        self.encode("resnext101_3d", torch.from_numpy(padded.reshape(-1, 16, 112, 112, 3)).movedim(-1, 1).float())
        marks.append(cpu_seconds())
        data = read_raw(path, clip, "-vn", "-ac", "1", "-ar", "16000", "-f", "f32le")
        marks.append(cpu_seconds())
        log_mel(np.frombuffer(data, np.float32))
        marks.append(cpu_seconds())
        names = ("2D pass", "eager 2D", "3D pass", "eager 3D", "audio pass", "log-mel")
        return dict(zip(names, np.diff(marks), strict=True))

    def encode(self, name: str, inputs: torch.Tensor) -> None:
        """Batches of 64, fp32, as they come."""
        with torch.inference_mode():
            for start in range(0, len(inputs), 64):
                self.nets[name](inputs[start : start + 64].to(self.device)).cpu()
