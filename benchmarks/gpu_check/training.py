"""Fine-tuning AVLnet on the paper's batch: a step with each thing that ought to make it faster, and the loop itself."""

import time
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_check.place import Found, Place, attempt

WAYS: dict[str, dict[str, bool]] = {
    "fp32": {},
    "tf32": {"tf32": True},
    "bf16": {"bf16": True},
    "bf16, channels last": {"bf16": True, "channels_last": True},
    "bf16, fused Adam": {"bf16": True, "fused": True},
    "bf16, batches from pageable memory": {"bf16": True, "copied": True},
    "bf16, batches from pinned memory": {"bf16": True, "copied": True, "pinned": True},
    "bf16, loss read every step": {"bf16": True, "read": True},
    "bf16, all": {"bf16": True, "channels_last": True, "fused": True, "copied": True, "pinned": True},
}


def training(place: Place, found: Found) -> None:
    """Clips a second by each way."""
    for name, flags in WAYS.items():
        if place.is_gpu or name != "tf32":
            attempt(found, name, lambda f=flags: clips_per_second(place, **f))
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def batch_size(place: Place) -> tuple[int, int]:
    """Clips, and frames of each: the paper's batch, one step of which would take a CPU minutes, by eights there."""
    if place.is_quick:
        return 4, 256
    return 256 if place.is_gpu else 8, 2400


def clips_per_second(
    place: Place,
    bf16: bool = False,
    tf32: bool = False,
    channels_last: bool = False,
    fused: bool = False,
    copied: bool = False,
    pinned: bool = False,
    read: bool = False,
) -> float:
    """Of forward, loss, backward and Adam."""
    from model.avlnet import AVLNet
    from model.loss import mms_loss

    size, frames = batch_size(place)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    batch = [torch.randn(size, 40, frames), torch.randn(size, 4096)]
    if pinned and place.is_gpu:
        batch = [values.pin_memory() for values in batch]
    kept = batch if copied else [values.to(place.device) for values in batch]
    num_frames = torch.full((size,), frames, device=place.device)
    model: Any = AVLNet(embedding_dim=256 if place.is_quick else 4096).to(place.device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=1e-5, fused=fused)

    def step() -> None:
        audio, video = (values.to(place.device, non_blocking=True) for values in kept)
        adam.zero_grad(set_to_none=True)
        with torch.autocast(place.device.type, torch.bfloat16, enabled=bf16):
            heard, seen = model(audio, num_frames, video)
        loss = mms_loss(heard.float() @ seen.float().T)
        loss.backward()
        adam.step()
        if read:
            loss.item()

    return size / place.seconds(step)


def training_loop(place: Place, found: Found) -> None:
    """Clips a second of `model.train.train` itself, which needs Lightning and TensorBoard."""
    for precision in ("fp32", "bf16"):
        attempt(found, precision, lambda p=precision: clips_per_second_of_loop(place, p))


def clips_per_second_of_loop(place: Place, precision: str) -> float:
    """From arrays in memory to Adam, the first two steps left out."""
    from model.data import ClipSet
    from model.settings import AUDIO_WIDTHS, TrainSettings
    from model.train import train

    size, frames = batch_size(place)
    dim = 64 if place.is_quick else 4096
    num_clips = 8 * size
    ids, counts = [f"clip{i}" for i in range(num_clips)], np.full(num_clips, frames)
    mel = np.random.default_rng(0).uniform(-80, 0, (frames * 8, 40)).astype(np.float32)
    video = np.random.default_rng(1).random((num_clips, dim), np.float32)
    clips = ClipSet(ids, ids, (mel,), np.zeros_like(counts), np.arange(num_clips) % 8 * frames, counts, video)
    widths = (8, 8, 8, 16, 16) if place.is_quick else AUDIO_WIDTHS
    given: dict[str, Any] = {"batch_size": size, "embedding_dim": dim, "widths": widths, "device": place.device.type}
    settings = TrainSettings(epochs=1, precision=precision, **given)
    ended: list[float] = []
    with TemporaryDirectory() as folder:
        train(clips, None, settings, folder, on_step=lambda *_: ended.append(time.perf_counter()))
    return size * (len(ended) - 3) / (ended[-1] - ended[2])
