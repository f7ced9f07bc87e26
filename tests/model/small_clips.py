"""A small learnable world for the model's tests."""

import numpy as np

from model.data import ClipSet

NARROW = (8, 8, 8, 16, 16)


def make_clips(num_clips: int, seed: int = 0, dim: int = 16, min_frames: int = 32, max_frames: int = 96) -> ClipSet:
    """Clips whose log-mel pattern and video feature share a hidden topic of their own."""
    generator = np.random.default_rng(seed)
    num_frames = generator.integers(min_frames, max_frames, num_clips)
    topics = np.random.default_rng(99).standard_normal((num_clips, 40 + 2 * dim)).astype(np.float32)
    noise = generator.standard_normal((num_frames.sum(), 40)).astype(np.float32)
    frames = np.clip(-40 + 15 * np.repeat(topics[:, :40], num_frames, axis=0) + 3 * noise, -80, 0)
    halves = [topics[:, 40 + k * dim : 40 + (k + 1) * dim] for k in (0, 1)]
    video = np.concatenate([half / np.linalg.norm(half, axis=1, keepdims=True) for half in halves], axis=1)
    clip_ids = [f"clip{i:04d}" for i in range(num_clips)]
    starts = np.cumsum(num_frames) - num_frames
    return ClipSet(clip_ids, clip_ids, (frames,), np.zeros(num_clips, np.int64), starts, num_frames, video)
