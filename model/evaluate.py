"""Retrieval by a model on the clips of a split, both directions, beside chance and shuffled pairs."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric import Fabric
from torch import Tensor

from datasets.devices import device_errors, has_gpu
from model.avlnet import AVLNet
from model.checkpoints import load_avlnet
from model.data import Batch, ClipSet, padded_length
from model.finite import find_spoilt
from model.metrics import (
    WITHOUT_ROOM,
    best_candidates,
    bootstrap_recall,
    chance_metrics,
    rank_embeddings,
    upstream_metrics,
)
from model.prefetch import prepare_ahead
from model.ranks import RECALL_AT, both_ways
from model.settings import EvaluateSettings


def evaluate(
    model: AVLNet | str | Path, clips: ClipSet, settings: EvaluateSettings | None = None
) -> dict[str, dict[str, Any]]:
    """Retrieval of each clip's match among all clips.

    Args:
        model: a model or the path of its checkpoint.
        clips: at least one clip.
        settings: defaults when not given.

    Returns:
        For each of `DIRECTIONS` {"num_queries", "metrics": {"R@1", "R@5", "R@10", "MedR"}, "chance": the same,
        "interval": {"R@k": (low, high)}, "shuffled": like metrics}; fractions; without intervals or shuffles
        where the settings leave them out.
    """
    settings = settings or EvaluateSettings()
    if not isinstance(model, AVLNet):
        model = load_avlnet(model, video_dim=clips.video_dim)
    audio, video = embed_clips(model, clips, settings)
    return retrieval_reports(audio, video, settings)


def retrieval_reports(audio: Tensor, video: Tensor, settings: EvaluateSettings) -> dict[str, dict[str, Any]]:
    """What `evaluate` returns, of embeddings [N, D], pairs in the same row."""
    reports: dict[str, dict[str, Any]] = {}
    for direction, query, gallery in both_ways(audio, video):
        ranks = rank_embeddings(query, gallery)
        reports[direction] = report = {
            "num_queries": len(query),
            "metrics": ranks.metrics(),
            "chance": chance_metrics(len(query), len(gallery)),
        }
        if settings.num_bootstrap:
            report["interval"] = bootstrap_recall(ranks, settings.num_bootstrap, settings.confidence, settings.seed)
        if settings.num_shuffles:
            report["shuffled"] = shuffled_metrics(query, gallery, settings.num_shuffles, settings.seed)
    if settings.metrics == "upstream":
        with device_errors(str(audio.device), WITHOUT_ROOM):
            scores = audio @ video.T  # one matrix for both directions, as there: another product may round ties apart
            for report, rows in zip(reports.values(), (scores, scores.T), strict=True):
                report["metrics"] = upstream_metrics(rows)
    return reports


def shuffled_metrics(query: Tensor, gallery: Tensor, num_shuffles: int, seed: int) -> dict[str, float]:
    """Mean metrics over random pairings: chance, unless something but the pairing gives matches away."""
    generator = np.random.default_rng(seed)
    runs = [
        rank_embeddings(query, gallery, generator.permutation(len(gallery))[: len(query)]).metrics()
        for _ in range(num_shuffles)
    ]
    return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}


def evaluation_rows(
    report: dict[str, dict[str, Any]], checkpoint: str, release: str, split: str
) -> list[dict[str, Any]]:
    """Rows of table evaluations, without outcome and common columns, of what `evaluate` returned."""
    rows = []
    for direction, figures in report.items():
        row = {"checkpoint": checkpoint, "release": release, "split": split, "direction": direction}
        row |= {"num_queries": figures["num_queries"], "median_rank": figures["metrics"]["MedR"]}
        for k in RECALL_AT:
            row[f"recall_at_{k}"] = figures["metrics"][f"R@{k}"]
            low, high = figures.get("interval", {}).get(f"R@{k}", (None, None))
            row |= {f"recall_at_{k}_low": low, f"recall_at_{k}_high": high}
            row[f"shuffled_recall_at_{k}"] = figures.get("shuffled", {}).get(f"R@{k}")
        rows.append(row)
    return rows


def rank_rows(
    audio: Tensor, video: Tensor, clips: ClipSet, checkpoint: str, release: str, split: str
) -> list[dict[str, Any]]:
    """Rows of table ranks, a query each, without outcome and common columns: where the match stands, who is before it.

    Args:
        audio: embeddings [N, D] in the order of `clips`.
        video: the same of the other side.
        clips: what was embedded.
        checkpoint: sha256 of the model.
        release: the clips' name in table evaluations.
        split: theirs.
    """
    rows = []
    for direction, query, gallery in both_ways(audio, video):
        ranks, best = rank_embeddings(query, gallery), best_candidates(query, gallery)
        common = {"checkpoint": checkpoint, "release": release, "split": split, "direction": direction}
        for i, (clip_id, video_id) in enumerate(zip(clips.clip_ids, clips.video_ids, strict=True)):
            names = " ".join(clips.clip_ids[j] for j in best[i])
            own = {"clip_id": clip_id, "video_id": video_id, "best": names}
            rows.append({**common, **own, "better": int(ranks.better[i]), "tied": int(ranks.tied[i])})
    return rows


def mean_recall(model: AVLNet, clips: ClipSet, fabric: Fabric) -> float:
    """Mean of R@1, R@5 and R@10 over both directions: one figure to choose an epoch by. Processes share the clips."""
    num_processes, num_clips = fabric.world_size, len(clips)
    own = np.resize(np.arange(num_clips), -(-num_clips // num_processes) * num_processes)
    share = clips if num_processes == 1 else clips.subset(own[fabric.global_rank :: num_processes])
    sides = embed_clips(model, share, EvaluateSettings(device=str(fabric.device)))
    if num_processes > 1:  # [place in a share, process, D]: clip i is number i // processes of process i % processes
        gathered: list[Tensor] = [torch.stack(list(fabric.all_gather(side)), dim=1) for side in sides]
        sides = (gathered[0].flatten(0, 1)[:num_clips], gathered[1].flatten(0, 1)[:num_clips])
    figures = [rank_embeddings(query, gallery).metrics() for _, query, gallery in both_ways(*sides)]
    return float(np.mean([metrics[f"R@{k}"] for metrics in figures for k in RECALL_AT]))


def embed_clips(model: AVLNet, clips: ClipSet, settings: EvaluateSettings) -> tuple[Tensor, Tensor]:
    """Embed each clip once, in eval mode, in small batches of clips of similar length.

    Returns:
        (audio, video) embeddings, float32 [N, embedding_dim] each, on the model's device, in the order of `clips`.

    Raises:
        ValueError: a clip holds numbers that are not finite.
        DeviceError: the device has no room for a batch, or fails.
    """
    name = settings.device
    if name == "auto":
        name = "cuda" if has_gpu(torch.cuda) else "cpu"
    device = torch.device(name)
    # Torch's own default for convolutions, and that of NVIDIA's images for products, is off by 1e-3: no fp32.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    was_training = model.training
    order = np.argsort(clips.num_frames, kind="stable")
    groups = [order[start : start + settings.batch_size] for start in range(0, len(clips), settings.batch_size)]

    def make_ready(indices: npt.NDArray[np.int64]) -> Batch:
        batch = clips.batch(indices, padded_length(int(clips.num_frames[indices].max())))
        if spoilt := find_spoilt([batch]):
            raise ValueError(f"{spoilt} ({', '.join(clips.clip_ids[i] for i in indices[:3])} or those after)")
        return batch.pinned() if device.type == "cuda" else batch

    with device_errors(str(device), "lower evaluate.batch_size"):
        model = model.to(device).eval()
        audio = torch.empty(len(clips), model.embedding_dim, device=device)
        video = torch.empty_like(audio)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            for indices, (batch, _) in zip(groups, prepare_ahead(map(make_ready, groups)), strict=True):
                mel, vectors = (side.to(device, non_blocking=True) for side in (batch.audio, batch.video))
                heard, seen = model(mel, batch.num_frames, vectors)
                rows = torch.from_numpy(indices).to(device)
                audio[rows], video[rows] = heard.float(), seen.float()
    model.train(was_training)
    return audio, video
