"""Figures that survive lost videos: a release's test set by what is left of it, and two roots on what both have."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from datasets.outcomes import GONE_REASONS
from datasets.releases.layout import read_shards
from datasets.tables import read_table
from flows.config import Config
from flows.machinery.run import Run
from flows.stages.train import checkpoint_folder, load_split
from model.available import count_rivals, estimate_whole, paired_by_group
from model.checkpoints import load_avlnet
from model.evaluate import embed_clips
from model.history import MODEL_FILE
from model.metrics import rank_embeddings
from model.ranks import DIRECTIONS, RECALL_AT, both_ways

_SPLIT = "test"


@dataclass(frozen=True)
class Left:
    """What of a release's test clips a root still has, embedded; pairs in the same row, in the order of `clip_ids`."""

    clip_ids: tuple[str, ...]
    audio: Tensor
    video: Tensor


def evaluate_left(config: Config, release: str) -> tuple[pd.DataFrame, str]:
    """Recall on what is left of a release's test clips, and what that says of all of them; nothing is written.

    Returns:
        (a row a direction and k, all in percent; one line on what is left).

    Raises:
        ReleaseError: no release, or one that cannot be read.
        ValueError: no checkpoint, or nothing is left.
    """
    channels = read_channels(release)
    left = embed_left(config, channels)
    groups = [channels[clip_id] for clip_id in left.clip_ids]
    gone = [channels[clip_id] for clip_id in sorted(channels.keys() - set(left.clip_ids))]
    rows = []
    for direction, query, gallery in both_ways(left.audio, left.video):
        own, others = count_rivals(query, gallery, groups, list(channels.values()))
        for found in estimate_whole(own, others, groups, gone, config.evaluate.confidence):
            figures = {name: 100 * value for name, value in asdict(found).items() if name != "k"}
            rows.append({"direction": direction, "k": found.k, **figures})
    told = f"{len(groups):,} of {len(channels):,} test clips are left, of {len(set(groups)):,} of "
    return pd.DataFrame(rows), f"{told}{len(set(channels.values())):,} channels"


def compare_left(config: Config, release: str, other_root: str) -> tuple[pd.DataFrame, str]:
    """Two roots' models on the test clips of a release that both roots still have, paired query by query.

    Returns:
        (a row a direction and k, all in percent, gain: this root minus the other; one line on what both have).
    """
    channels = read_channels(release)
    other = config.model_copy(update={"root": other_root})
    sides = [embed_left(side, channels) for side in (other, config)]
    both = sorted(set(sides[0].clip_ids) & set(sides[1].clip_ids))
    if not both:
        raise ValueError(f"{config.root} and {other_root} have no test clip of {release} in common")
    groups, rows = [channels[clip_id] for clip_id in both], []
    places = [np.searchsorted(np.array(side.clip_ids), both) for side in sides]
    for direction, is_audio in zip(DIRECTIONS, (True, False), strict=True):
        pairs = ((side.audio[at], side.video[at]) for side, at in zip(sides, places, strict=True))
        ranks = [rank_embeddings(*(pair if is_audio else pair[::-1])) for pair in pairs]
        for k in RECALL_AT:
            first, second = (found.hits(k) for found in ranks)
            gain = paired_by_group(first, second, groups, config.evaluate.confidence)
            own = {"this": second.mean(), "other": first.mean(), "gain": gain.mean, "low": gain.low, "high": gain.high}
            rows.append({"direction": direction, "k": k, **{name: 100 * value for name, value in own.items()}})
    return pd.DataFrame(rows), f"{len(both):,} of {len(channels):,} test clips are left in both roots"


def read_channels(release: str) -> dict[str, str]:
    """Each test clip of a release with what it shares with others: its channel, or its video where none is known."""
    rows = read_shards(release, columns=["clip_id", "video_id", "split", "channel_hash"]).to_pylist()
    return {row["clip_id"]: row["channel_hash"] or row["video_id"] for row in rows if row["split"] == _SPLIT}


def embed_left(config: Config, channels: dict[str, str]) -> Left:
    """The test clips of a release that a root has features of and whose video is not known to be gone."""
    run = Run(config, "looks")
    checked = read_table(config.root, "availability", ["video_id", "reason"]).to_pylist()
    gone = {row["video_id"] for row in checked if row["reason"] in GONE_REASONS}
    own = checkpoint_folder(run) / MODEL_FILE
    checkpoint = own if own.is_file() else Path(config.train.init_checkpoint or own)
    if not checkpoint.is_file():
        mend = "run `python -m flows finetune` first, or name one by --set train.init_checkpoint=PATH"
        raise ValueError(f"no checkpoint of this configuration at {checkpoint}: {mend}")
    clips = load_split(run, _SPLIT)
    model = load_avlnet(checkpoint, video_dim=clips.video_dim)
    named = list(zip(clips.clip_ids, clips.video_ids, strict=True))
    kept = [i for i, (clip_id, video_id) in enumerate(named) if clip_id in channels and video_id not in gone]
    if not kept:
        raise ValueError(f"{config.root}: no test clip of the release is left")
    kept.sort(key=lambda i: clips.clip_ids[i])
    audio, video = embed_clips(model, clips, config.evaluate)
    return Left(tuple(clips.clip_ids[i] for i in kept), audio[kept], video[kept])
