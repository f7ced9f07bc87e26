"""Six Adam steps by our network and by the original's own, from the same weights and clips: how far apart they end.

The inputs are those of tests/golden/avlnet (eight clips a step, weights by rule, the published sizes). The original is
not part of this repository and runs from its checkout, unchanged; its integer division of frame counts is made to
truncate, as torch 1.4 did. One thread; float32 and float64; frozen batch norm (eval, as it fine-tunes) and batch
statistics (train).

    git clone https://github.com/roudimit/AVLnet && git -C AVLnet checkout be70e95
    python -m benchmarks.six_steps --upstream AVLnet
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.loss import mms_loss
from tests.model import golden_avlnet as golden

STEPS, SIZE, NUM_PADDED = 6, 8, 256
NUM_FRAMES = [256, 256, 200, 128, 64, 256, 33, 256]
KEPT = ("DAVEnet.bn1.weight", "DAVEnet_projection.bias", "GU_audio.fc.bias", "GU_video.fc.bias")
"""Weights of which the golden file holds the original's."""
Loss = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


def loss_of_ours(model: nn.Module, audio: Tensor, num_frames: Tensor, video: Tensor) -> Tensor:
    """Of one batch."""
    heard, seen = model(audio, num_frames, video)
    return mms_loss(heard @ seen.T)


def original(checkout: Path) -> tuple[Callable[[], nn.Module], Loss]:
    """What makes the original's model, and its loss of one batch."""
    sys.path.insert(0, str(checkout))
    from loss import MMS_loss  # type: ignore[import-not-found]

    # By its path, since its model.py has the name of our package.
    spec = importlib.util.spec_from_file_location("upstream_model", checkout / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def loss(model: nn.Module, audio: Tensor, num_frames: Tensor, video: Tensor) -> Tensor:
        counts = num_frames.clone()
        counts.div_ = counts.floor_divide_  # type: ignore[method-assign]
        heard, seen = model(video, audio, counts)
        measured: Tensor = MMS_loss()(heard @ seen.T)
        return measured

    return lambda: module.Net(4096, 4096, 300), loss


def take_steps(model: nn.Module, loss: Loss, mode: str, kind: torch.dtype) -> Iterator[float]:
    """The losses of six steps, each before it is taken."""
    model.load_state_dict(golden.state_dict())
    model.to(kind).train(mode == "train")
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    for step in range(STEPS):
        audio = golden.audio(f"g/audio/{step}", NUM_PADDED, NUM_FRAMES).to(kind)
        video = golden.video(f"g/video/{step}", SIZE).to(kind)
        adam.zero_grad()
        value = loss(model, audio, torch.tensor(NUM_FRAMES), video)
        value.backward()
        adam.step()
        yield value.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of roudimit/AVLnet at be70e95")
    parser.add_argument("--golden", type=Path, help="write the original's losses and some weights of float64 here")
    given = parser.parse_args()
    make_original, loss_of_original = original(given.upstream)
    torch.set_num_threads(1)
    kept: dict[str, np.ndarray] = {}
    for mode, kind in product(("eval", "train"), (torch.float32, torch.float64)):
        theirs = make_original()
        their_losses = list(take_steps(theirs, loss_of_original, mode, kind))
        weights = {name: value.detach() for name, value in theirs.named_parameters()}
        del theirs
        ours = golden.golden_model()
        our_losses = list(take_steps(ours, loss_of_ours, mode, kind))
        apart = moved = 0.0
        for name, value in ours.named_parameters():
            apart += float((value.detach() - weights[name]).double().square().sum())
            moved += float((weights[name].double() - golden.state_dict()[name].double()).square().sum())
        relative = np.abs(np.array(our_losses) / np.array(their_losses) - 1).max()
        told = {
            "apart": (apart / moved) ** 0.5,
            "losses": float(relative),
            "ours": our_losses,
            "original": their_losses,
        }
        print(json.dumps({"mode": mode, "type": str(kind).removeprefix("torch."), **told}), flush=True)
        if kind is torch.float64:
            kept[f"{mode}_losses"] = np.array(their_losses)
            kept.update({f"{mode}_{name}": weights[name].numpy() for name in KEPT})
    if given.golden:
        np.savez_compressed(given.golden, **kept)


if __name__ == "__main__":
    main()
