"""Decoding by threads and by processes, and all of it from a file to features."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.cpu_time import cpu_seconds, living_children_seconds
from benchmarks.gpu_check.networks import SHAPES
from benchmarks.gpu_check.place import Found, Place, attempt
from features.encoders import load_encoder
from features.encoders.engines import num_cores
from features.frames.decoded import DecodedClip
from features.frames.processes import Answer, ClipRange, Decoders, decode_here
from features.window_queue import WindowQueue


def decoding(place: Place, found: Found) -> None:
    """Video-seconds a second, and a CPU-second, by threads and by processes."""
    num_files = 2 if place.is_quick else 3
    most = min(16, num_cores())
    counts = (1, 2) if place.is_quick else sorted({1, most, *(n for n in (4, 8) if n < most)})
    for decoder in ("cpu", "nvdec") if place.is_gpu else ("cpu",):
        for count in counts:
            given = [ranges(place.video, decoder) for _ in range(count * num_files)]
            with ThreadPoolExecutor(count) as pool:
                work = partial(by_threads, pool)
                attempt(found, f"{decoder}, {count} threads", partial(rates, work, given, count))
            decoders = Decoders(count)
            work = partial(by_processes, decoders)
            attempt(found, f"{decoder}, {count} processes", partial(rates, work, given, count))
            decoders.close()


def by_threads(pool: ThreadPoolExecutor, clips: list[ClipRange]) -> int:
    return sum(pool.map(lambda clip: video_seconds(decode_here([clip])), clips))


def by_processes(decoders: Decoders, clips: list[ClipRange]) -> int:
    return video_seconds(decoders.decode(clips))


def ranges(video: Path, decoder: str) -> ClipRange:
    """All of a file, in pieces."""
    return {"path": str(video), "frames_per_piece": 256, "decoder": decoder}


def video_seconds(found: Iterable[tuple[int, Answer]]) -> int:
    """How much was decoded; it is let go piece by piece."""
    return sum(len(answer.frames_2d) for _, answer in found if isinstance(answer, DecodedClip))


def rates(work: Callable[[list[ClipRange]], int], clips: list[ClipRange], count: int) -> dict[str, float]:
    """Once to load what is needed, then what is counted."""
    work(clips[:count])
    start, cpu = time.perf_counter(), cpu_seconds() + living_children_seconds()
    seconds = work(clips)
    wall, cpu = time.perf_counter() - start, cpu_seconds() + living_children_seconds() - cpu
    return {"video_s_per_s": seconds / wall, "video_s_per_cpu_s": seconds / cpu}


def end_to_end(place: Place, found: Found) -> None:
    """Video-seconds a second from a file to both features, as `featurize` does it, a process decoding on each core."""
    names = ("torchvision/resnet18",) if place.is_quick else tuple(SHAPES)
    encoders = [load_encoder(name, "untrained", "torch", str(place.device), "bf16") for name in names]
    threads = num_cores()
    decoders = Decoders(threads)

    def featurize(num_files: int) -> float:
        seconds, queues = 0.0, [WindowQueue(encoder) for encoder in encoders]
        with closing(decoders.decode(ranges(place.video, "cpu") for _ in range(num_files))) as answers:
            for _, answer in answers:
                if isinstance(answer, DecodedClip):
                    seconds += len(answer.frames_2d)
                    for queue in queues:
                        queue.put([], answer.frames_3d if queue.encoder.num_frames > 1 else answer.frames_2d)
        for queue in queues:
            queue.finish()
        return seconds

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(featurize, [1] * threads))
        start = time.perf_counter()
        seconds = sum(pool.map(featurize, [1 if place.is_quick else 6] * threads))
    found |= {"video_s_per_s": seconds / (time.perf_counter() - start), "processes": threads}
    decoders.close()
