"""Where and how long to measure, and what is known of the place."""

import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import av
import numpy as np
import torch

from datasets.outcomes import RowError
from features.encoders.engines import has_bf16, num_cores

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
Found = dict[str, Any]
"""What a step finds, filled in as it goes: a step that is ended leaves what it has."""
FAILURES = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError, RowError, SubprocessError, torch.cuda.DeferredCudaCallError,
)  # fmt: skip
"""What a card, its driver, another torch or what it compiles with may answer, and a file without sound: the next figure
is asked for all the same."""


@dataclass(frozen=True)
class Place:
    """Where and how long to measure."""

    device: torch.device
    is_quick: bool
    """As a trial of the steps themselves: smallest sizes, everything once."""
    video: Path

    @property
    def is_gpu(self) -> bool:
        """Else the CPU, whose figures are only a trial of this script."""
        return self.device.type == "cuda"

    def seconds(self, work: Callable[[], Any]) -> float:
        """Seconds of a call, the mean over those of about a second, after one that is not counted."""
        work()
        self.wait()
        start, calls = time.perf_counter(), 0
        while calls == 0 or (not self.is_quick and time.perf_counter() - start < 1):
            work()
            calls += 1
            if calls % 4 == 0:
                self.wait()  # a queue without end would count what is not done
        self.wait()
        return (time.perf_counter() - start) / calls

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)


def attempt(found: Found, name: str, work: Callable[[], Any]) -> None:
    """One figure of a step, or why there is none: no room for a large batch says nothing of the next."""
    try:
        found[name] = work()
    except TimeoutError:  # of the whole step
        raise
    except FAILURES as error:
        found[name] = {"error": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}


def environment(place: Place, found: Found) -> None:
    """What was measured on."""
    found |= {"python": sys.version.split()[0], "torch": torch.__version__, "cores": num_cores()}
    found |= {"machine": platform.machine(), "device": str(place.device), "cuda": torch.version.cuda}
    found |= {"cpu_has_bf16": has_bf16(), "av": av.__version__}
    attempt(found, "video", lambda: describe(place.video))
    if place.is_gpu:
        properties = torch.cuda.get_device_properties(place.device)
        found |= {"gpu": properties.name, "gpu_gb": properties.total_memory / 1e9}
        found |= {"cudnn": torch.backends.cudnn.version(), "capability": f"{properties.major}.{properties.minor}"}


def describe(path: Path) -> dict[str, Any]:
    """What a figure of decoding depends on in a file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return {
            "size": f"{context.width}x{context.height}",
            "codec": f"{context.name} {context.profile}, {context.pix_fmt}",
            "fps": float(stream.average_rate or 0),
            "kbit_s": container.bit_rate // 1000,
            "seconds": float((container.duration or 0) / 1e6),
        }


def ceilings(place: Place, found: Found) -> None:
    """TFLOP/s of matrix products and GB/s of copies: what nothing below can exceed."""
    size = 512 if place.is_quick else 8192
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(size, size, device=place.device, dtype=dtype) for _ in range(2))
        found[f"gemm_{name}_tflops"] = 2 * size**3 / place.seconds(lambda a=left, b=right: a @ b) / 1e12
    source = torch.empty(size * size, dtype=torch.uint8, pin_memory=place.is_gpu)
    copy_s = place.seconds(lambda: source.to(place.device, non_blocking=True, copy=True))
    found["copy_to_device_gb_s"] = source.numel() / copy_s / 1e9


def render(path: Path, seconds: int) -> None:
    """640x360, 30 fps, H.264 of about 838 kbit/s, and AAC: a picture that moves, with noise."""
    rng, (high, wide) = np.random.default_rng(0), (360, 640)
    across, down = np.meshgrid(np.arange(wide), np.arange(high))
    with av.open(str(path), "w") as file:
        video, sound = file.add_stream("libx264", rate=30), file.add_stream("aac", rate=44_100)
        video.width, video.height, video.pix_fmt, video.bit_rate = wide, high, "yuv420p", 838_000
        video.options = {"preset": "veryfast", "g": "150", "bf": "2"}
        for number in range(30 * seconds):
            shade = (across + 3 * number) % 256 * 0.6 + (down * across // 97 + number) % 90
            picture = np.clip(shade[..., None] + rng.normal(0, 6, (high, wide, 3)), 0, 255).astype(np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for start in range(0, 44_100 * seconds, 1024):
            tone = np.sin(2 * np.pi * 440 * np.arange(start, start + 1024) / 44_100).astype(np.float32) / 4
            frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            frame.rate, frame.pts = 44_100, start
            file.mux(sound.encode(frame))
        file.mux([*video.encode(), *sound.encode()])
