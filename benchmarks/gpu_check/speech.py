"""The speech CNN: how near the CPU's scores, and hours of audio a second by how many files share its batches."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_check.place import Found, Place, attempt
from datasets.wheels import WEIGHTS_DIR
from extract.speech.engine import segment_features
from extract.speech.front_end import SpeechFeatures, compute_features
from extract.speech.layers import Convolution, Dense, Layer, Pool
from extract.speech.network import SpeechNetwork, load_network
from extract.speech.weights import WEIGHTS

SHAPES = (
    ((64, 1, 7, 4), True), ((4, 2), True), ((128, 64, 3, 3), False), ((128, 128, 3, 3), True), ((2, 2), True),
    ((256, 128, 3, 3), True), ((4, 1), False), *[((256, 256), False)] * 4, ((3, 256), True),
)  # fmt: skip
"""Of the layers of network smn, and whether each is pooled, padded or the last."""


def speech(place: Place, found: Found) -> None:
    """Relative L2 of scores from the CPU's, and seconds of audio a second, without and with decoding."""
    try:
        networks = [
            load_network(WEIGHTS_DIR / WEIGHTS["smn"][0], WEIGHTS["smn"][1], d) for d in ("cpu", str(place.device))
        ]
        found["weights"] = "published"
    except (ImportError, ValueError):  # without h5py or the file speed can be measured all the same
        networks = [made_up_network(device) for device in ("cpu", str(place.device))]
        found["weights"] = "made up"
    parity(place, found, *networks)
    sound = made_up_features(20 if place.is_quick else 600)
    for num_files in (1, 2) if place.is_quick else (1, 16, 64):
        attempt(found, f"{num_files} files", lambda n=num_files: rate(networks[1], [sound] * n))
    attempt(
        found,
        "decoded, 2 units of 16 files" if not place.is_quick else "decoded",
        lambda: overlapped(place, networks[1]),
    )


def parity(place: Place, found: Found, on_cpu: SpeechNetwork, network: SpeechNetwork) -> None:
    """Each precision beside the CPU's fp32, on groups of the first pass."""
    groups = np.random.default_rng(0).normal(size=(8, 68 + 2 * 46, 21)).astype(np.float32)
    expected = next(on_cpu.predict([groups], 4, False))

    def error_of(is_rough: bool) -> float:
        return float(np.linalg.norm(next(network.predict([groups], 4, is_rough)) - expected) / np.linalg.norm(expected))

    for name in ("fp32", "tf32", "bf16") if place.is_gpu else ("fp32", "bf16"):
        is_rough = name == "bf16"
        is_done = not is_rough or network.rough_layers is not network.layers
        torch.backends.cudnn.allow_tf32 = name == "tf32"
        attempt(found, name if is_done else f"{name}, done in fp32", partial(error_of, is_rough))
        torch.backends.cudnn.allow_tf32 = False


def rate(network: SpeechNetwork, sounds: list[SpeechFeatures]) -> dict[str, float]:
    """Of the CNN and the decoding of labels, as the fast engine does them."""
    segment_features(sounds[:1], network, "smn", exact=False)
    start = time.perf_counter()
    segment_features(sounds, network, "smn", exact=False)
    seconds = sum(sound.num_samples for sound in sounds) / 16_000
    return {"hours_per_s": seconds / 3600 / (time.perf_counter() - start)}


def overlapped(place: Place, network: SpeechNetwork) -> dict[str, float]:
    """Units of files, decoded and labelled as the stage does it: one unit on the device, the next one in decoding."""
    from extract.sound import audio_chunks

    num_files = 1 if place.is_quick else 16

    def decode(_: int) -> SpeechFeatures:
        with audio_chunks(place.video) as chunks:
            return compute_features(chunks)

    def run(_: int) -> int:
        with ThreadPoolExecutor(num_files) as threads:
            sounds = list(threads.map(decode, range(num_files)))
        segment_features(sounds, network, "smn", exact=False)
        return sum(sound.num_samples for sound in sounds)

    start = time.perf_counter()
    with ThreadPoolExecutor(2) as units:
        samples = sum(units.map(run, range(2 if place.is_quick else 6)))
    return {"hours_per_s": samples / 16_000 / 3600 / (time.perf_counter() - start)}


def made_up_features(seconds: int) -> SpeechFeatures:
    """Of a sound that changes every few seconds, so that some labels stay in doubt."""
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(0, 2, seconds), 100)[:, None]
    bands = (level + rng.normal(0, 1, (100 * seconds, 21))).astype(np.float32)
    return SpeechFeatures(bands, level[:, 0].astype(np.float32), 16_000 * seconds, float(bands.min()))


def made_up_network(device: str) -> SpeechNetwork:
    """The layers of network smn with weights that were trained on nothing."""
    generator = torch.Generator().manual_seed(0)
    layers: list[Layer] = []
    for shape, flag in SHAPES:
        if len(shape) == 2 and max(shape) <= 4:
            layers.append(Pool(shape, flag))
            continue
        scale = (2 / np.prod(shape[1:])) ** 0.5
        weight = (torch.randn(shape, generator=generator) * scale).to(device)
        given: dict[str, Any] = {"weight": weight, "bias": torch.zeros(shape[0], device=device)}
        layers.append(Convolution(**given, is_pooled=flag) if len(shape) == 4 else Dense(**given, is_last=flag))
    rough = [
        layer if isinstance(layer, Pool) else replace(layer, weight=layer.weight.bfloat16(), bias=layer.bias.bfloat16())
        for layer in layers
    ]
    exact = tuple(layers)
    return SpeechNetwork(exact, tuple(rough) if torch.device(device).type == "cuda" else exact, 3, device, "")
