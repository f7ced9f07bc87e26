"""Imitations of what the authors publish: layouts as their loaders read them, small and learnable."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

DIM = 16


def make_clip(name: str, seed: int, dim: int = DIM) -> dict[str, Any]:
    """A clip whose speech and picture share a topic: `2d`, `3d` and `audio`, a [40, T] tensor."""
    generator = np.random.default_rng(seed)
    topic = generator.standard_normal(40 + 2 * dim).astype(np.float32)
    mel = np.clip(-40 + 15 * topic[:40, None] + 3 * generator.standard_normal((40, 50 + seed % 20)), -80, 0)
    vectors = {"2d": topic[40 : 40 + dim], "3d": topic[40 + dim :]}
    return {**vectors, "audio": torch.from_numpy(mel.astype(np.float32)), "id": name}


def youcook2(split: str, number: int) -> dict[str, Any]:
    """As in youcook_train_audio.pkl: a caption, and features with full temporal resolution beside the pooled ones."""
    more = {"caption": "cut the onion", "2d_full": np.zeros((5, DIM), np.float32)}
    return {**make_clip(f"{split}yc2{number // 2}", number), **more}


def youcook_japanese(split: str, number: int) -> dict[str, Any]:
    """With ids and clip times: two clips a video."""
    video, start = f"{split}jp{number // 2}", 10.5 * (number % 2)
    times = {"video_id": video, "start": start, "end": start + 6.25}
    return {**make_clip(f"{video}_{number % 2}", 1000 + number), **times}


def crosstask(split: str, number: int) -> dict[str, Any]:
    """With a task, and times as texts."""
    times = {"task": 23521, "start": "3", "end": "9", "video_id": f"{split}ct{number}", "text_sim": np.array(1)}
    return {**make_clip(f"{split}ct{number}_0", 2000 + number), "caption": "pour", **times}


def msrvtt(split: str, number: int) -> dict[str, Any]:
    """With pooled features by names of their own, beside those of full resolution."""
    clip = make_clip(f"{split}video{number}", 3000 + number)
    full = {family: np.zeros((4, DIM), np.float32) for family in ("2d", "3d")}
    pooled = {f"{family}_pooled": clip[family] for family in ("2d", "3d")}
    return {**clip, **full, **pooled, "caption": ["a man cooks", "cooking"], "eval_caption": "a man cooks"}


LAYOUTS = {"youcook2": youcook2, "youcook_japanese": youcook_japanese, "crosstask": crosstask, "msrvtt": msrvtt}
FILES = {
    "youcook2": {"train": "youcook_train_audio.pkl", "val": "youcook_val_audio.pkl"},
    "youcook_japanese": {
        "train": "youcook_japanese_train.pkl",
        "val": "youcook_japanese_val.pkl",
        "test": "youcook_japanese_eval.pkl",
    },
    "crosstask": {"train": "crosstask_clips_train.pkl", "val": "crosstask_clips_val.pkl"},
    "msrvtt": {"train": "msrvtt_train.pkl", "test": "msrvtt_jsfusion_test.pkl"},
}
"""The names in the authors' archives, by our split."""


def write_original(folder: Path, layout: str, sizes: dict[str, int], protocol: int = 4) -> list[Path]:
    """The files of one data set, with the names that its archive has."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split, size in sizes.items():
        paths.append(folder / FILES[layout][split])
        clips = [LAYOUTS[layout](split, number) for number in range(size)]
        paths[-1].write_bytes(pickle.dumps(clips, protocol))
    return paths
