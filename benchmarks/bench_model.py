"""AVLnet's speed beside the original's way of working, written anew in a few lines, in one run.

    python -m benchmarks.bench_model [step embedding loader metrics memory]

CPU seconds of one thread, not wall time: other work on the machine moves them less. The original pads every clip to
5,120 frames, pools in a Python loop, scores by a full sort, and holds its clips as a pickled list. Its figures are
beside those of its account, which were taken on another CPU: how far apart they are says how far the two machines are.
"""

import argparse
import pickle
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader, Dataset

from benchmarks.limits import tell
from datasets.outcomes import OK
from datasets.tables import add_common_columns, make_table, write_part
from model.avlnet import AVLNet
from model.contrastive import backward_contrastive
from model.data import MAX_FRAMES, Batch, ClipSet, load_clips, padded_length
from model.evaluate import embed_clips
from model.loss import mms_loss
from model.memory import has_room_for_graph
from model.metrics import metrics_from_embeddings, rank_scores
from model.sampling import split_by_length
from model.settings import EvaluateSettings

REFERENCE = {"step": (12.54 - 0.60) / 8, "embed": 0.455, "loader": 539, "metrics": 2 * 0.21}
"""Of the original, from its account: CPU s a clip (step of 8 without Adam, embedding of 8), clips/s, s both ways."""
LEAST_TIMES = {"fine-tune step, kept": 3.0, "embedding": 3.0}
"""Times the original's speed that were asked for."""
MOST_METRICS_S, MOST_METRICS_GB, LEAST_LOADED, MOST_DEVIATION = 0.2, 3, 10_000, 20
NUM_CLIPS = 3000
PASSES = 20
"""Of the loader: one is over in a hundredth of a second, which a single garbage collection outlasts."""
MICRO_BATCH = 16


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def speech_clips(num_clips: int, low: int = 500, high: int = 1500) -> ClipSet:
    """Clips as long as those of the rendered channel, 5 to 15 s, with 4,096 video values."""
    generator = np.random.default_rng(0)
    num_frames = generator.integers(low, high, num_clips)
    frames = generator.uniform(-80, 0, (num_frames.sum(), 40)).astype(np.float32)
    ids = [f"clip{i:05d}" for i in range(num_clips)]
    video = np.abs(generator.standard_normal((num_clips, 4096))).astype(np.float32)
    video = np.concatenate([h / np.linalg.norm(h, axis=1, keepdims=True) for h in np.split(video, 2, axis=1)], axis=1)
    starts = np.cumsum(num_frames) - num_frames
    return ClipSet(ids, ids, (frames,), np.zeros(num_clips, np.int64), starts, num_frames, video)


def original_embed(model: AVLNet, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The original's forward pass in eval mode: everything padded to 5,120 frames, pooled clip by clip."""
    hidden = model.DAVEnet(batch.audio)
    pool = torch.nn.AdaptiveAvgPool2d((1, 1))
    pooled = [pool(hidden.unsqueeze(2)[i][:, :, : max(1, int(n) // 16)]) for i, n in enumerate(batch.num_frames)]
    audio = torch.stack(pooled).squeeze(3).squeeze(2)
    return model.DAVEnet_projection(model.GU_audio(audio)), model.GU_video(batch.video)


def original_metrics(scores: np.ndarray) -> dict[str, float]:
    """The original's full sort."""
    sorted_scores = np.sort(-scores, axis=1)
    positions = np.where(sorted_scores - np.diag(-scores)[:, None] == 0)[1]
    return {f"R@{k}": float(np.sum(positions < k)) / len(scores) for k in (1, 5, 10)}


def bench_step(batch_size: int = 256, every: int = 4) -> None:
    """Forward, loss and backward; Adam costs both the same. The original's memory allows eight clips here.

    Of our batch of 256, every so many of the pieces it is cut into.
    """
    batch = speech_clips(batch_size)
    whole = split_by_length(batch, np.arange(batch_size), MICRO_BATCH)
    clips = batch.subset(np.concatenate(whole[every // 2 :: every]))
    fabric = Fabric(accelerator="cpu", devices=1)
    model = AVLNet().eval()
    wrapped = fabric.setup(model)
    few = clips.subset(range(8))

    def original() -> float:
        batch = few.batch(range(8), MAX_FRAMES)
        model.zero_grad()
        audio, video = original_embed(model, batch)
        loss = mms_loss(audio @ video.T)
        loss.backward()
        return loss.item()

    def ours(clips: ClipSet, recompute: bool) -> float:
        groups = split_by_length(clips, np.arange(len(clips)), MICRO_BATCH if len(clips) > 8 else 2)
        pieces = [clips.batch(group, padded_length(int(clips.num_frames[group].max()))) for group in groups]
        model.zero_grad()
        return backward_contrastive(fabric, wrapped, pieces, recompute).item()

    original()  # both are warm when they are timed
    theirs, expected = cpu_seconds(original)
    loss = ours(few, True)
    assert abs(loss - expected) < 1e-5 * abs(expected), (loss, expected)
    for name, recompute in (("kept", False), ("embedded twice", True)):
        own, _ = cpu_seconds(lambda recompute=recompute: ours(clips, recompute))
        report(f"fine-tune step, {name}", "CPU s/clip", theirs / 8, own / len(clips), REFERENCE["step"])
    padded = [batch.batch(group, padded_length(int(batch.num_frames[group].max()))) for group in whole]
    has_room = has_room_for_graph(padded, model.widths, torch.device("cpu"), 1)
    print(f"of the two, training takes on this machine: {'kept' if has_room else 'embedded twice'}", flush=True)


def bench_embedding(every: int = 16) -> None:
    """Of 3,000 clips, every so many of the batches that embedding all of them makes."""
    clips = speech_clips(NUM_CLIPS)
    model = AVLNet().eval()
    few = clips.subset(range(16))

    def original() -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([original_embed(model, few.batch(range(i, i + 8), MAX_FRAMES))[0] for i in (0, 8)])

    original()  # both are warm when they are timed
    theirs, expected = cpu_seconds(original)
    settings = EvaluateSettings(device="cpu")
    audio, _ = embed_clips(model, few, settings)
    assert float((audio - expected).abs().max() / expected.abs().max()) < 1e-5
    batches = split_by_length(clips, np.arange(NUM_CLIPS), settings.batch_size)[every // 2 :: every]
    sample = clips.subset(np.concatenate(batches))
    own, _ = cpu_seconds(lambda: embed_clips(model, sample, settings))
    report("embedding", "CPU s/clip", theirs / 16, own / len(sample), REFERENCE["embed"])


class _PickledClips(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The original's loader: a pickled list of dicts in memory, padded item by item."""

    def __init__(self, path: Path) -> None:
        self.clips = pickle.loads(path.read_bytes())  # noqa: S301 - bench_loader wrote it a moment ago; the original reads a pickle

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        clip = self.clips[index]
        audio = np.pad(clip["audio"].numpy(), ((0, 0), (0, MAX_FRAMES)), "constant")[:, :MAX_FRAMES]
        halves = [torch.nn.functional.normalize(torch.from_numpy(clip[key]), dim=0) for key in ("2d", "3d")]
        return torch.from_numpy(audio), torch.cat(halves)


def bench_loader(num_clips: int = 500) -> None:
    clips = speech_clips(num_clips)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clips.pkl"
        rows = [
            {"audio": torch.from_numpy(clips.frames(i).T.copy()), "2d": video[:2048], "3d": video[2048:]}
            for i, video in enumerate(clips.video)
        ]
        path.write_bytes(pickle.dumps(rows))
        original = _PickledClips(path)
        theirs, _ = cpu_seconds(lambda: [None for _ in DataLoader(original, batch_size=128, shuffle=True)])
        write_root(Path(folder), clips)
        load_clips(folder, "train", cache_dir=Path(folder) / "cache")
        cached = load_clips(folder, "train", cache_dir=Path(folder) / "cache")
        read_all(cached)
        own, _ = cpu_seconds(lambda: [read_all(cached) for _ in range(PASSES)])
    loaded = PASSES * num_clips / own
    report("loader", "clips/CPU s", num_clips / theirs, loaded, REFERENCE["loader"])
    tell("loader, warm cache", loaded, "clips a CPU s", at_least=LEAST_LOADED)


def read_all(clips: ClipSet) -> None:
    order = np.random.default_rng(0).permutation(len(clips))
    for group in split_by_length(clips, order, 128):
        clips.batch(group, padded_length(int(clips.num_frames[group].max())))


def write_root(root: Path, clips: ClipSet) -> None:
    ids = {"clip_id": pa.array(clips.clip_ids), "video_id": pa.array(clips.video_ids)}
    rows = [{"clip_id": i, "video_id": i, "split": "train", **OK} for i in clips.clip_ids]
    write_part(root, "splits", make_table("splits", rows, recipe="bench", run_id="bench"))
    offsets = np.append(clips.starts, clips.starts[-1] + clips.num_frames[-1]).astype(np.int32)
    frames = pa.FixedSizeListArray.from_arrays(pa.array(clips.chunks[0].reshape(-1)), 40)
    values = {"values": pa.ListArray.from_arrays(offsets, frames), "num_frames": pa.array(clips.num_frames, pa.int32())}
    write_part(root, "log_mel", with_outcome({**ids, **values}))
    offsets = np.arange(len(clips) + 1, dtype=np.int32) * 2048
    halves = [pa.array(np.ascontiguousarray(half).reshape(-1)) for half in np.split(clips.video, 2, axis=1)]
    vectors = [pa.ListArray.from_arrays(offsets, half) for half in halves]
    write_part(root, "pooled", with_outcome({**ids, "pooled_2d": vectors[0], "pooled_3d": vectors[1]}))


def with_outcome(columns: dict[str, pa.Array]) -> pa.Table:
    table = pa.table(columns)
    table = table.append_column(pa.field("status", pa.string(), nullable=False), pa.repeat("ok", table.num_rows))
    for name in ("reason", "detail"):
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return add_common_columns(table, recipe="bench", run_id="bench")


def bench_metrics(num_clips: int = NUM_CLIPS) -> None:
    scores = np.random.default_rng(0).standard_normal((num_clips, num_clips)).astype(np.float32)
    scores += 2 * np.eye(num_clips, dtype=np.float32)
    theirs, expected = cpu_seconds(lambda: [original_metrics(s) for s in (scores, scores.T)])
    own, found = cpu_seconds(lambda: [rank_scores(s).metrics() for s in (scores, scores.T)])
    assert all(abs(f[key] - e[key]) < 1e-3 for f, e in zip(found, expected, strict=True) for key in e)
    report(f"metrics {num_clips} x {num_clips}, both ways", "CPU s", theirs, own, REFERENCE["metrics"])
    tell(f"metrics {num_clips} x {num_clips}", own, "CPU s", at_most=MOST_METRICS_S)


def bench_memory(num_clips: int = 100_000, dim: int = 256) -> None:
    """Most memory beyond the embeddings; that does not depend on their size, time does."""
    generator = np.random.default_rng(0)
    query = generator.standard_normal((num_clips, dim), np.float32)
    gallery = query + 3 * generator.standard_normal((num_clips, dim), np.float32)
    before = peak_bytes()
    seconds, found = cpu_seconds(lambda: metrics_from_embeddings(query, gallery))
    name = f"metrics {num_clips:,} x {num_clips:,} from embeddings of {dim}"
    print(f"{name}: {seconds:.0f} CPU s, R@10 {found['R@10']:.3f}", flush=True)
    tell(f"{name}, beyond them", (peak_bytes() - before) / 1e9, "GB", at_most=MOST_METRICS_GB)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def report(name: str, unit: str, theirs: float, own: float, reference: float) -> None:
    ratio = own / theirs if "clips/" in unit else theirs / own
    print(
        f"{name:38} {unit:12} original {theirs:9.3f} (its account {reference:.3f})  ours {own:9.3f}  {ratio:5.1f} x",
        flush=True,
    )
    tell(f"{name}, original from its account", 100 * abs(theirs / reference - 1), "%", at_most=MOST_DEVIATION)
    if name in LEAST_TIMES:
        tell(f"{name}, times the original", ratio, "times", at_least=LEAST_TIMES[name])


BENCHES = {
    "memory": bench_memory, "metrics": bench_metrics, "loader": bench_loader, "embedding": bench_embedding,
    "step": bench_step,
}  # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHES)}; all of them when none is given")
    chosen = parser.parse_args().names or list(BENCHES)
    if unknown := set(chosen) - set(BENCHES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    torch.manual_seed(0)
    torch.set_num_threads(1)  # threads that wait for each other spin, and would count as work on a busy machine
    for name, bench in BENCHES.items():
        if name in chosen:
            bench()
